"use strict";
/* Python in a thread of its own, so that the page answers while a cell runs; to stop a cell, the page ends this thread.

   In: {start: true}, then {run: source, cell: number}. Out: {loaded, of, what}, {ready}, {text, cell}, {picture, name, cell},
   {finished, failed, cell}, {broken}. */

let python = null, cell = null, loaded = 0;

/* Pyodide loads by fetch; this one counts the bytes. Pyodide itself compares each package with its sha256. */
const plainFetch = self.fetch.bind(self);
function countingFetch(total) {
  self.fetch = async (...request) => {
    const response = await plainFetch(...request);
    if (!response.body) return response;
    const count = new TransformStream({transform(chunk, out) {
      loaded += chunk.byteLength;
      postMessage({loaded, of: total, what: "loading"});
      out.enqueue(chunk);
    }});
    return new Response(response.body.pipeThrough(count), {status: response.status, statusText: response.statusText, headers: response.headers});
  };
}

async function bytes(name) {
  const response = await self.fetch(name);
  if (!response.ok) throw new Error(`${name}: the server answers ${response.status}`);
  return response.arrayBuffer();
}

async function start() {
  const manifest = await (await plainFetch("manifest.json")).json();
  countingFetch(manifest.bytes);
  importScripts("runtime/pyodide.js");
  python = await loadPyodide({indexURL: new URL("runtime/", self.location).href, env: {MPLBACKEND: "agg", HOME: "/home/pyodide"}});
  await python.loadPackage(manifest.packages, {messageCallback: () => {}});
  python.unpackArchive(await bytes(manifest.wheel), "wheel");
  for (const name of manifest.modules) python.FS.writeFile(name, new Uint8Array(await bytes(name)));
  self.fetch = plainFetch;
  postMessage({loaded: manifest.bytes, of: manifest.bytes, what: "importing NumPy, matplotlib and minitorch"});
  python.registerJsModule("page", {
    write: text => postMessage({text, cell}),
    show: (content, kind) => postMessage({picture: content.toJs ? content.toJs() : content, kind, cell}),
  });
  python.runPython("import running");
  postMessage({ready: true, versions: python.runPython("running.versions()")});
}

onmessage = async ({data}) => {
  try {
    if (data.start) return await start();
    cell = data.cell;
    const run = python.pyimport("running").run;
    postMessage({finished: true, failed: !run(data.run, data.cell), cell});
  } catch (error) { postMessage({broken: String(error.message || error).slice(-2000), cell}); }
};
