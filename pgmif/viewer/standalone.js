// A viewer without a kernel: its state and its pixels, packed, stand in the page. This file comes last.
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new DataView(await new Response(stream).arrayBuffer());
}

const { state, pixels } = JSON.parse(document.getElementById("patient").textContent);
const heard = new Map();
const tell = (event, ...told) => (heard.get(event) ?? []).forEach((action) => action(...told));
render({
  el: document.getElementById("viewer"),
  model: {
    get: (name) => state[name],
    set: (name, value) => {
      state[name] = value;
      tell(`change:${name}`);
    },
    on: (event, action) => heard.set(event, [...(heard.get(event) ?? []), action]),
    off: () => {},
    save_changes: () => {},
    send: ({ wanted }) => wanted.forEach(async (name) => {
      const { message, packed } = pixels[name];
      tell("msg:custom", message, [await unpacked(packed)]);
    }),
  },
});
