// run.mjs FOLDER MANIFEST RESULTS: runs every model of a manifest with onnxruntime-web, found below
// FOLDER, and tells how far its outputs are from those expected.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

const [folder, manifest, results] = process.argv.slice(2);
const ort = createRequire(resolve(folder, "package.json"))("onnxruntime-web");
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

const kinds = { float32: Float32Array, int64: BigInt64Array, uint8: Uint8Array };

function load({ file, dtype }) {
  const bytes = readFileSync(file);
  return new kinds[dtype](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

// the largest difference, relative where values are larger than 1
function difference(got, want) {
  let worst = 0;
  for (let i = 0; i < want.length; i++) {
    const a = Number(got[i]), b = Number(want[i]);
    if (Object.is(a, b) || a === b) continue;
    const d = Math.abs(a - b) / Math.max(1, Math.abs(b));
    if (!(d <= worst)) worst = Number.isNaN(d) ? Infinity : d;
  }
  return worst;
}

async function run(session, { inputs, outputs }) {
  const feeds = {};
  for (const x of inputs) feeds[x.name] = new ort.Tensor(x.dtype, load(x), x.dims);
  const got = await session.run(feeds);
  let worst = 0;
  for (const want of outputs) {
    const y = got[want.name];
    if (!y) throw new Error(`no output ${want.name}`);
    if (y.type !== want.dtype || y.dims.join() !== want.dims.join())
      throw new Error(`${want.name}: ${y.type} (${y.dims}), expected ${want.dtype} (${want.dims})`);
    worst = Math.max(worst, difference(y.data, load(want)));
  }
  return worst;
}

const all = {};
for (const model of JSON.parse(readFileSync(manifest, "utf8"))) {
  try {
    const session = await ort.InferenceSession.create(readFileSync(model.file),
      { executionProviders: ["wasm"] });
    let worst = 0;
    for (const c of model.cases) worst = Math.max(worst, await run(session, c));
    all[model.name] = { difference: worst === Infinity ? "not a number" : worst };
    await session.release();
  } catch (error) {
    all[model.name] = { error: String(error.message ?? error) };
  }
}
writeFileSync(results, JSON.stringify(all));
