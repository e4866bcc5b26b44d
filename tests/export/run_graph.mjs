// Runs a graph in WebAssembly: node run_graph.mjs PACKAGES MODEL INPUTS OUTPUTS
//
// PACKAGES is a folder in which onnxruntime-web is installed.
// INPUTS and OUTPUTS are JSON texts, name -> {type, dims, data}. Integers are texts,
// since numbers of JavaScript hold 53 bits; null is NaN.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const arrays = {
  string: (data) => data,
  bool: (data) => Uint8Array.from(data),
  int64: (data) => BigInt64Array.from(data, BigInt),
  uint64: (data) => BigUint64Array.from(data, BigInt),
  float32: (data) => Float32Array.from(data, (x) => x ?? NaN),
  float64: (data) => Float64Array.from(data, (x) => x ?? NaN),
};

const [packages, model, inputs, outputs] = process.argv.slice(2);
const ort = createRequire(`${packages}/`)("onnxruntime-web");
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(model));
const feeds = {};
for (const [name, one] of Object.entries(JSON.parse(readFileSync(inputs, "utf8")))) {
  feeds[name] = new ort.Tensor(one.type, arrays[one.type](one.data), one.dims);
}
const results = await session.run(feeds);
const given = {};
for (const name of session.outputNames) {
  const { type, dims, data } = results[name];
  given[name] = { type, dims, data: Array.from(data, (x) => (typeof x === "bigint" ? `${x}` : x)) };
}
writeFileSync(outputs, JSON.stringify(given));
