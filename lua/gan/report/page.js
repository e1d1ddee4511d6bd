// The report page: curves that can be questioned, pictures over time, and, where the page is
// served, following a training that runs. Without it the page shows all of this at rest.
"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const one = (selector, from = document) => from.querySelector(selector);
  const read = (from) => JSON.parse(one("#data", from).textContent);
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  let data = read(document);

  // ---- numbers -----------------------------------------------------------------------------

  const show = (v) => {
    if (v == null) return "–";
    if (v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e6)) return v.toExponential(3);
    return String(+v.toPrecision(5));
  };

  // the exponential mean, freed of its start's weight (as Adam's moments are)
  const smoothed = (values, weight) => {
    let mean = 0, power = 1;
    return values.map((v) => {
      if (v == null) return null;
      mean = weight * mean + (1 - weight) * v;
      power *= weight;
      return mean / (1 - power);
    });
  };

  // ---- curves ------------------------------------------------------------------------------

  const settings = { log: false, smooth: 0, over: "x" };
  const hidden = new Set();
  let plots = [];

  const colour = (i) => css("--c" + i % 8);
  const dash = (i) => i % 16 >= 8 ? [7, 5] : undefined;

  // The tables of uPlot: one list of positions for all, null where a curve has no value there.
  const columns = (metric) => {
    const lists = [], series = [];
    const scale = settings.over === "t" ? 1 / 60 : 1;
    data.runs.forEach((run, i) => {
      const curve = run.curves[metric];
      if (!curve || hidden.has(run.name + "\n" + i)) return;
      const x = curve[settings.over], keep = [];
      x.forEach((v, k) => { if (v != null) keep.push(k); });
      keep.sort((a, b) => x[a] - x[b]);
      const xs = keep.map((k) => x[k] * scale), ys = keep.map((k) => curve.y[k]);
      const stroke = colour(run.colours ? run.colours[metric] : i);
      if (settings.smooth > 0) {
        lists.push([xs, ys]);
        series.push({ stroke: stroke, alpha: 0.3, width: 1, points: { show: false }, faint: true });
        lists.push([xs, smoothed(ys, settings.smooth)]);
      } else {
        lists.push([xs, ys]);
      }
      series.push({ label: run.name, stroke: stroke, width: 2, dash: dash(i), spanGaps: false,
        points: { show: xs.length < 40, size: 5 } });
    });
    return { table: lists.length ? join(lists) : [[]], series: series };
  };

  const join = (lists) => lists.length === 1 ? lists[0] : uPlot.join(lists);

  const whole = []; // steps between marks of epochs: there are no halves of them
  for (let p = 1; p < 1e9; p *= 10) whole.push(p, 2 * p, 5 * p);

  const axis = (label) => ({
    stroke: css("--soft"), grid: { stroke: css("--grid"), width: 1 },
    ticks: { stroke: css("--grid"), width: 1 }, label: label, labelSize: 22,
    font: "12px system-ui", labelFont: "13px system-ui",
    values: (u, splits) => splits.map((v) => v == null ? "" : show(v)),
  });

  const options = (card, c, width) => ({
    width: width, height: 250,
    scales: { x: { time: false },
      y: settings.log ? { distr: c.table.slice(1).every((ys) => ys.every((v) => v == null || v > 0))
        ? 3 : 4, asinh: 0.01 } : {} },
    legend: { show: false },
    cursor: { sync: { key: "report", setSeries: false }, y: false, drag: { x: true, y: false } },
    axes: [Object.assign(axis(settings.over === "t" ? "minutes" : data.axis), { size: 30 },
      settings.over === "t" ? {} : { incrs: whole }),
      Object.assign(axis(), { size: 58 })],
    series: [{}].concat(c.series),
    hooks: { setCursor: [(u) => readout(card, u, c)] },
  });

  // The values under the pointer; without one, the last of each curve.
  const readout = (card, u, c) => {
    const k = u.cursor.idx, parts = [];
    if (k != null)
      parts.push((settings.over === "t" ? "minute " : data.axis + " ") + show(u.data[0][k]));
    else
      parts.push("last");
    c.series.forEach((s, i) => {
      const values = u.data[i + 1];
      const v = k != null ? values[k] : values.findLast((y) => y != null);
      if (!s.faint && v != null) parts.push((data.runs.length > 1 ? s.label + " " : "") + show(v));
    });
    one(".readout", card).textContent = parts.join(" \u00b7 ");
  };

  const draw = () => {
    plots.forEach((p) => p.destroy());
    plots = [];
    if (typeof uPlot === "undefined") return;
    root.classList.add("plots");
    all("[data-metric]").forEach((card) => {
      const box = one(".plot", card), metric = card.dataset.metric, c = columns(metric);
      box.textContent = "";
      const plot = new uPlot(options(card, c, box.clientWidth), c.table, box);
      readout(card, plot, c);
      plots.push(plot);
    });
  };

  const toggle_static = () => { // without uPlot: the drawings hide a run's lines
    all("[data-metric] svg [data-run]").forEach((line) => {
      const i = +line.dataset.run;
      line.toggleAttribute("hidden", hidden.has(data.runs[i].name + "\n" + i));
    });
  };

  // ---- pictures ----------------------------------------------------------------------------

  // Each run shows the latest of its pictures that is not later than the slider says.
  const numbers = (series) => [...new Set(all(".frames figure", series)
    .map((f) => +f.dataset.number))].sort((a, b) => a - b);

  const show_picture = (series) => {
    const slider = one(".slider input", series), list = numbers(series);
    const at = list[Math.min(+slider.value, list.length - 1)];
    all(".frames", series).forEach((frames) => {
      let shown = null;
      all("figure", frames).forEach((f) => {
        f.classList.remove("shown");
        if (+f.dataset.number <= at || !shown) shown = f;
      });
      if (shown) shown.classList.add("shown");
    });
    const text = list.length > 1 ? at + " of " + list[list.length - 1] : "";
    one(".slider output", series).textContent = text;
    slider.setAttribute("aria-valuetext", text);
  };

  const playing = new Map();

  const play = (series, button) => {
    if (playing.has(series)) {
      clearInterval(playing.get(series));
      playing.delete(series);
      button.textContent = "play";
      return;
    }
    const slider = one(".slider input", series);
    button.textContent = "stop";
    playing.set(series, setInterval(() => {
      slider.value = +slider.value >= +slider.max ? 0 : +slider.value + 1;
      show_picture(series);
    }, 350));
  };

  const prepare_series = (series, position) => {
    const slider = one(".slider input", series), last = numbers(series).length - 1;
    slider.max = last;
    slider.value = position == null ? last : Math.min(position, last);
    one(".slider", series).hidden = last < 1;
    slider.addEventListener("input", () => show_picture(series));
    one(".slider button", series).addEventListener("click", (e) => play(series, e.target));
    show_picture(series);
  };

  // ---- following a run ---------------------------------------------------------------------

  // The server sends the page's changing parts; where the slider stands at its end, it stays there.
  const positions = () => new Map(all(".series").map((series) => {
    const slider = one(".slider input", series);
    return [series.dataset.name, +slider.value >= +slider.max ? null : +slider.value];
  }));

  const take = (fresh) => {
    const before = positions(), open = all("details").map((d) => d.open);
    playing.forEach((timer) => clearInterval(timer));
    playing.clear();
    all("[data-part]").forEach((part) => {
      const other = one(`[data-part="${part.dataset.part}"]`, fresh);
      if (other) part.replaceWith(document.adoptNode(other));
    });
    data = read(document);
    all(".series").forEach((series) => prepare_series(series, before.get(series.dataset.name)));
    all("details").forEach((d, i) => { if (i < open.length) d.open = open[i]; });
    connect_runs();
    draw();
  };

  const follow = async () => {
    let version = "";
    for (;;) {
      await new Promise((next) => setTimeout(next, 2000));
      if (playing.size > 0) continue;
      let text = null, state = "following";
      try {
        const answer = await fetch("/live", { headers: { "If-None-Match": version } });
        if (answer.status === 200) {
          text = await answer.text();
          version = answer.headers.get("ETag") || "";
        }
      } catch (e) {
        state = "the server does not answer";
      }
      if (text != null) take(new DOMParser().parseFromString(text, "text/html"));
      one("#following").textContent = state;
    }
  };

  // ---- wiring ------------------------------------------------------------------------------

  const connect_runs = () => all(".runs input").forEach((box) => {
    const i = +box.dataset.run, key = data.runs[i].name + "\n" + i;
    box.checked = !hidden.has(key);
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(key); else hidden.add(key);
      draw();
      toggle_static();
      all(`.pane[data-run="${i}"]`).forEach((pane) => { pane.hidden = !box.checked; });
    });
  });

  const on = (id, event, f) => { const e = one(id); if (e) e.addEventListener(event, f); };

  connect_runs();
  all(".series").forEach((series) => prepare_series(series, null));
  if (typeof uPlot === "undefined") all(".needs-plots").forEach((e) => { e.hidden = true; });
  on("#log", "change", (e) => { settings.log = e.target.checked; draw(); });
  on("#over", "change", (e) => { settings.over = e.target.value; draw(); });
  on("#smooth", "input", (e) => {
    settings.smooth = +e.target.value;
    one("#smooth-value").textContent = settings.smooth.toFixed(2);
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let width = innerWidth, timer = null;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { if (innerWidth !== width) { width = innerWidth; draw(); } }, 120);
  });
  draw();
  if (root.dataset.live) follow();
})();
