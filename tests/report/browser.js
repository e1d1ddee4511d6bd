// browser.js NPM CHROMIUM PAGE COMPARED [ADDRESS] [DRAWINGS] -> JSON of what a browser makes of
// report pages: one of a run, one of two runs, a served one, one without uPlot. Screenshots go to SHOTS, where that is set.
"use strict";
const [npm, chromium, page_file, compared_file, address, drawings_file] = process.argv.slice(2);
const { chromium: driver } = require(npm + "/node_modules/playwright-core");
const shots = process.env.SHOTS;

// What is on the canvases of the curves: how many colours, and whether those of the first two runs.
const drawn = () => [...document.querySelectorAll(".uplot canvas")].map((canvas) => {
  const style = getComputedStyle(document.documentElement);
  const wanted = [0, 1].map((i) => parseInt(style.getPropertyValue("--c" + i).trim().slice(1), 16));
  const near = (a, b) => [16, 8, 0].every((s) => Math.abs((a >> s & 255) - (b >> s & 255)) < 12);
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let i = 0; i < pixels.length; i += 4)
    if (pixels[i + 3] > 200) seen.add(pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2]);
  return { width: canvas.width, colours: seen.size,
    lines: wanted.map((c) => [...seen].some((pixel) => near(pixel, c))) };
});
const shown = async () => {
  const visible = [...document.querySelectorAll(".frames")].map((frames) =>
    [...frames.querySelectorAll("figure")].filter((f) => f.offsetParent));
  return Promise.all(visible.map((figures) => Promise.all(figures.map(async (f) =>
    f.dataset.number + await f.querySelector("img").decode().then(() => "", () => " broken")))));
};

const open = async (browser, url, options) => {
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, ...options });
  const seen = { requests: [], errors: [] };
  page.on("request", (r) => { if (!r.url().startsWith("data:")) seen.requests.push(r.url()); });
  page.on("pageerror", (e) => seen.errors.push(e.message));
  page.on("console", (m) => { if (m.type() === "error") seen.errors.push(m.text()); });
  page.on("dialog", (d) => { seen.errors.push("dialog " + d.message()); d.dismiss(); });
  await page.goto(url);
  return { page, seen };
};

const picture = async (page, name) => {
  if (shots) await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
};

const single = async (browser) => {
  const { page, seen } = await open(browser, "file://" + page_file);
  const result = { seen, canvases: await page.evaluate(drawn), before: await page.evaluate(shown) };
  await page.focus(".slider input");
  await page.keyboard.press("Home");
  result.first = await page.evaluate(shown);
  await page.keyboard.press("ArrowRight");
  result.second = await page.evaluate(shown);
  result.output = await page.textContent(".slider output");
  await page.check("#log");
  await page.locator("#smooth").fill("0.5");
  await page.selectOption("#over", "t");
  result.changed = await page.evaluate(drawn);
  result.title = await page.title();
  result.injected = await page.evaluate(() => [typeof window.injected,
    document.querySelectorAll("[onerror], b, iframe, script[src]").length]);
  result.escapes = await page.evaluate(async () => { // what a page could not do if it wanted to
    try { await fetch("https://example.invalid/"); return "sent"; } catch (e) { return "refused"; }
  });
  await picture(page, "light");
  await page.close();
  return result;
};

const compared = async (browser) => {
  const { page, seen } = await open(browser, "file://" + compared_file);
  const result = { seen, canvases: await page.evaluate(drawn) };
  result.panes = await page.locator(".pane:visible").count();
  await picture(page, "compared");
  await page.uncheck(".runs input >> nth=1");
  result.panes_without = await page.locator(".pane:visible").count();
  result.fewer = await page.evaluate(drawn);
  await page.close();
  return result;
};

const variant = async (browser, name, options) => {
  const { page, seen } = await open(browser, "file://" + page_file, options);
  const result = { seen };
  if (options.javaScriptEnabled === false) {
    result.drawings = await page.locator(".card svg .line").count();
    result.pictures = await page.locator(".frames img:visible").count();
    result.controls = await page.locator(".controls:visible, .slider:visible").count();
  } else {
    result.colour = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    result.overflow = await page.evaluate(() =>
      document.documentElement.scrollWidth - innerWidth);
  }
  await picture(page, name);
  await page.close();
  return result;
};

const drawings = async (browser) => {
  const { page, seen } = await open(browser, "file://" + drawings_file);
  await page.focus(".slider input");
  await page.keyboard.press("Home");
  const result = { seen, first: await page.evaluate(shown),
    visible: await page.locator(".card svg .line:visible").count() };
  await picture(page, "drawings");
  await page.close();
  return result;
};

// The server's pages: a line is written into the log (the caller does so at our "ready").
const served = async (browser) => {
  const { page, seen } = await open(browser, address);
  const result = { seen, before: await page.evaluate(shown) };
  await page.evaluate(() => { window.same = true; });
  console.log("ready");
  await page.waitForFunction(() => JSON.parse(document.querySelector("#data").textContent)
    .runs[0].curves.D.x.length > 3, null, { timeout: 15000 });
  result.after = await page.evaluate(shown);
  result.same = await page.evaluate(() => window.same === true);
  result.output = await page.textContent(".slider output");
  result.following = await page.textContent("#following");
  result.canvases = await page.evaluate(drawn);
  await picture(page, "served");
  await page.close();
  return result;
};

(async () => {
  const browser = await driver.launch({ executablePath: chromium, args: ["--no-sandbox"] });
  try {
    const result = address ? { served: await served(browser) } : {
      single: await single(browser), compared: await compared(browser),
      dark: await variant(browser, "dark", { colorScheme: "dark" }),
      narrow: await variant(browser, "narrow", { viewport: { width: 380, height: 800 } }),
      drawings: drawings_file ? await drawings(browser) : null,
      still: await variant(browser, "still", { javaScriptEnabled: false }),
    };
    console.log(JSON.stringify(result));
  } finally {
    await browser.close();
  }
})().catch((e) => { console.error(e); process.exit(1); });
