// The slice viewer of pgmif as an anywidget: state and events; drawing.js draws, controls.js
// builds the bar. Every panel is drawn in the
// browser, so that scrolling never waits for Python: pixels come once per panel, as messages.
function render({ model, el }) {
  const buffers = new Map(); // name → { version, data }
  const paths = new Map(); // "outline slice" → Path2D
  const zoom = { scale: 1, x: 0.5, y: 0.5 };
  const get = (name) => model.get(name);
  const set = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
    later();
  };
  const requested = new Map(); // name → version that was asked for
  const here = () => clamp(get("slice"), 0, Math.max(0, get("shape")[0] - 1)); // the slice that is shown
  let drag = null, cursor = null, panels = [], grey = null, greyOf = "", pending = 0, drawn = 0, asked = performance.now();

  const bar = toolbar(), grid = element("div", { class: "grid" });
  const status = element("div", { class: "status" }), caption = element("div", { class: "caption" });
  const root = element("div", {
    class: "pgmif-viewer", tabindex: 0, role: "group", "aria-label": "slice viewer",
  }, [bar.bar, grid, status, caption,
    element("details", {}, [element("summary", { text: "Keys and mouse" }), element("p", { text: HELP })])]);
  el.append(root);

  function later() {
    if (pending) return;
    asked = performance.now();
    pending = requestAnimationFrame(draw);
  }

  function moveTo(k) {
    k = clamp(k, 0, get("shape")[0] - 1);
    if (k !== get("slice")) set({ slice: k });
  }

  function receive({ pixels, version, outline }, parts) {
    const { buffer, byteOffset, byteLength } = parts[0];
    const bytes = buffer.slice(byteOffset, byteOffset + byteLength);
    buffers.set(pixels, { version, data: outline ? new Uint8Array(bytes) : new Uint16Array(bytes) });
    if (outline) paths.clear();
    later();
  }

  // a panel that stays keeps its canvas, so that toggling another does not flicker
  function build() {
    const before = new Map(panels.map((p) => [p.name, p]));
    panels = get("panels").map((spec) => Object.assign(before.get(spec.name) ?? newPanel(spec.name), spec));
    panels.forEach((p) => { p.title.textContent = p.label; });
    grid.replaceChildren(...panels.map((p) => p.figure));
    arrange();
    bar.against.replaceChildren(...panels.map((p) => new Option(p.label, p.name)));
    bar.names.replaceChildren(...get("outlines").flatMap((o) =>
      [element("span", { text: " ▬ ", style: `color: ${o.colour}` }), o.label]));
    bar.names.parentElement.hidden = !get("outlines").length;
    caption.textContent = get("caption");
    const shown = [...get("panels"), ...get("outlines")], names = new Set(shown.map((p) => p.name));
    for (const kept of [buffers, requested]) for (const name of kept.keys()) if (!names.has(name)) kept.delete(name);
    const wanted = shown.filter((p) => buffers.get(p.name)?.version !== p.version && requested.get(p.name) !== p.version);
    wanted.forEach((p) => requested.set(p.name, p.version));
    if (wanted.length) model.send({ wanted: wanted.map((p) => p.name) });
    later();
  }

  function arrange() {
    const rows = Math.ceil(panels.length / Math.max(1, Math.floor(root.clientWidth / SMALLEST_PX)));
    grid.style.gridTemplateColumns = `repeat(${Math.ceil(panels.length / rows) || 1}, minmax(0, ${LARGEST_PX}px))`;
    later();
  }

  function newPanel(name) {
    const panel = {
      canvas: element("canvas", { role: "img" }), image: document.createElement("canvas"),
      title: element("strong"), value: element("output"), table: element("table"),
    };
    panel.figure = element("figure", { "data-panel": name },
      [panel.canvas, element("figcaption", {}, [panel.title, panel.value, panel.table])]);
    listen(panel.canvas);
    return panel;
  }

  function pixelAt(canvas, event) {
    const [, height, width] = get("shape");
    const box = canvas.getBoundingClientRect(), t = canvasTransform(canvas, zoom, height, width);
    const at = (client, start, size, full) => ((client - start) / size) * full;
    return {
      x: (at(event.clientX, box.left, box.width, canvas.width) - t.ox) / t.sx,
      y: (at(event.clientY, box.top, box.height, canvas.height) - t.oy) / t.sy,
    };
  }

  function zoomBy(factor, at) {
    const [, height, width] = get("shape"), before = zoom.scale;
    zoom.scale = clamp(before * factor, 1, 32);
    const share = 1 - before / zoom.scale; // what lies under the cursor stays there
    const fixed = at ?? { x: zoom.x * width, y: zoom.y * height };
    moveCentre(share * (fixed.x / width - zoom.x), share * (fixed.y / height - zoom.y));
  }

  const moveBy = (dx, dy) => moveCentre(dx / zoom.scale, dy / zoom.scale); // shares of a panel

  function changeWindow(factor, rise) { // rise: of the level, as a share of the window
    const window = clamp(get("window") * factor, 0.01, 4);
    set({ window, level: clamp(get("level") + rise * window, -0.5, 1.5) });
  }

  function moveCentre(dx, dy) {
    const margin = 0.5 / zoom.scale;
    zoom.x = clamp(zoom.x + dx, margin, 1 - margin);
    zoom.y = clamp(zoom.y + dy, margin, 1 - margin);
    later();
  }

  function resetView() {
    Object.assign(zoom, { scale: 1, x: 0.5, y: 0.5 });
    set({ window: 1, level: 0.5 });
  }

  function listen(canvas) {
    let travelled = 0;
    const fingers = new Map(); // pointer → its place
    const apart = () => {
      const [a, b] = fingers.values();
      return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    };
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) return zoomBy(Math.exp(-event.deltaY * 0.002), pixelAt(canvas, event));
      // a wheel sends few large steps, a touchpad many small ones
      travelled += event.deltaMode ? Math.sign(event.deltaY) * 50 : event.deltaY;
      if (Math.abs(travelled) < 40) return;
      moveTo(here() + Math.sign(travelled));
      travelled = 0;
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      root.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event);
      drag = fingers.size > 1 ? null : drag ?? { id: event.pointerId, x: event.clientX, y: event.clientY };
    });
    for (const ended of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(ended, (event) => {
        fingers.delete(event.pointerId);
        if (drag?.id === event.pointerId) drag = null;
      });
    }
    canvas.addEventListener("pointermove", (event) => {
      if (fingers.size === 2 && fingers.has(event.pointerId)) { // two fingers zoom
        const before = apart();
        fingers.set(event.pointerId, event);
        return before && zoomBy(apart() / before, pixelAt(canvas, event));
      }
      const box = canvas.getBoundingClientRect(), own = drag?.id === event.pointerId;
      const dx = own ? event.clientX - drag.x : 0, dy = own ? event.clientY - drag.y : 0;
      if (own) Object.assign(drag, { x: event.clientX, y: event.clientY });
      if (own && (event.shiftKey || event.buttons > 1)) moveBy(-dx / box.width, -dy / box.height);
      else if (own) changeWindow(Math.exp(dx * 0.006), dy * 0.003);
      cursor = pixelAt(canvas, event);
      later();
    });
    canvas.addEventListener("pointerleave", () => { cursor = null; later(); });
    canvas.addEventListener("dblclick", resetView);
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  // JupyterLab's shortcuts (arrows, d, x …) would take the viewer's keys; those with Ctrl stay JupyterLab's
  const keepKeys = (event) => {
    if (!root.contains(event.target)) return;
    event.target.toggleAttribute("data-lm-suppress-shortcuts", !(event.ctrlKey || event.metaKey));
  };
  window.addEventListener("keydown", keepKeys, true);
  root.addEventListener("keydown", (event) => {
    const control = event.target.tagName, own = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", " "];
    if (event.ctrlKey || event.metaKey || event.altKey || control === "SELECT") return;
    if (control === "INPUT" && own.includes(event.key)) return; // the slider's and the box's own
    const k = here(), up = () => moveTo(k + 1), down = () => moveTo(k - 1), nearer = () => zoomBy(1.25, cursor);
    const moves = { ArrowUp: [0, -0.1], ArrowDown: [0, 0.1], ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0] };
    const action = event.shiftKey && moves[event.key] ? () => moveBy(...moves[event.key]) : {
      ArrowUp: up, ArrowRight: up, ArrowDown: down, ArrowLeft: down, PageUp: () => moveTo(k + 5),
      PageDown: () => moveTo(k - 5), Home: () => moveTo(0), End: () => moveTo(get("shape")[0] - 1),
      "+": nearer, "=": nearer, "-": () => zoomBy(0.8, cursor), 0: resetView, i: () => set({ view: "images" }),
      d: () => set({ view: "difference" }), c: () => set({ view: "checkerboard" }),
      n: () => changeWindow(0.9, 0), w: () => changeWindow(1 / 0.9, 0),
      b: () => changeWindow(1, -0.05), k: () => changeWindow(1, 0.05),
      o: () => set({ outlined: !get("outlined") }),
    }[event.key];
    if (!action) return;
    action();
    event.preventDefault();
    event.stopPropagation();
  });
  bar.slider.addEventListener("input", () => moveTo(Number(bar.slider.value)));
  bar.view.addEventListener("change", () => set({ view: bar.view.value }));
  bar.against.addEventListener("change", () => set({ against: bar.against.value }));
  bar.outlined.addEventListener("change", () => set({ outlined: bar.outlined.checked }));
  bar.reset.addEventListener("click", resetView);

  // null until pixels of this very version are there: never those of another patient
  function slicePixels(panel) {
    const [, height, width] = get("shape"), first = here() * height * width, held = buffers.get(panel.name);
    const pixels = held?.version === panel.version && held.data.subarray(first, first + height * width);
    return pixels && pixels.length === height * width ? { panel, pixels } : null;
  }

  function outlinesHere() {
    const [, height, width] = get("shape"), k = here(), found = [];
    for (const outline of get("outlined") ? get("outlines") : []) {
      const key = `${outline.name} ${k}`, mask = slicePixels(outline)?.pixels;
      if (!mask) continue;
      if (!paths.has(key)) paths.set(key, outlinePath(mask, height, width));
      found.push({ path: paths.get(key), colour: outline.colour });
    }
    return found;
  }

  function draw() {
    pending = 0;
    const shape = get("shape"), [n, height, width] = shape, k = here(), view = get("view");
    if (!n || !root.isConnected) return;
    if (greyOf !== `${get("window")} ${get("level")}`) {
      grey = greyTable(get("window"), get("level"));
      greyOf = `${get("window")} ${get("level")}`;
    }
    const other = panels.find((p) => p.name === get("against")) ?? panels[0], outlines = outlinesHere();
    const row = cursor && Math.floor(cursor.y), column = cursor && Math.floor(cursor.x);
    const over = cursor && row >= 0 && column >= 0 && row < height && column < width;
    let missing = 0;
    for (const panel of panels) {
      const own = slicePixels(panel), theirs = slicePixels(other), ready = own && (view === "images" || theirs);
      if (!own) missing += 1;
      const colours = ready && sliceColours(own, theirs, view, grey, get("window"), width);
      drawSlice(panel, colours, shape, get("aspect"), zoom, outlines, over ? cursor : null);
      panel.canvas.setAttribute("aria-label", `${panel.label}, slice ${k + 1} of ${n}, ${view}`);
      const against = view === "difference" && panel !== other;
      const fractions = against && !comparable(panel, other) ? ", fractions" : "";
      panel.title.textContent = against ? `${panel.label} − ${other.label}${fractions}` : panel.label;
      panel.value.textContent = over && ready ? readOut(own, theirs, view, row * width + column, width) : "";
      if (panel.tableOf !== `${k} ${panel.version}`) {
        panel.table.replaceChildren(...(panel.measures.length ? measureTable(panel, k) : []));
        panel.tableOf = `${k} ${panel.version}`;
      }
    }
    showState(n, k, view, other, missing ? WAITING : over && `row ${row}, column ${column}`);
    Object.assign(root.dataset, { drawn: ++drawn, missing });
    root.dataset.milliseconds = performance.now() - asked;
  }

  function showState(n, k, view, other, where) {
    Object.assign(bar.slider, { max: n - 1, value: k });
    bar.place.textContent = `${k + 1} of ${n}`;
    bar.view.value = view;
    bar.against.value = other?.name ?? "";
    bar.against.parentElement.hidden = view === "images";
    bar.outlined.checked = get("outlined");
    bar.window.textContent = `window ${get("window").toFixed(2)} level ${get("level").toFixed(2)}`;
    const apart = view === "difference" && panels.some((p) => !comparable(p, other));
    const signs = view === "difference" && `red: brighter, blue: darker${apart ? `; ${APART}` : ""}`;
    status.textContent = [where, zoom.scale > 1 && `zoom ${zoom.scale.toFixed(1)}`, signs].filter(Boolean).join(" · ") || "\u00a0";
  }

  const events = [
    ...["slice", "view", "against", "window", "level", "outlined"].map((name) => [`change:${name}`, later]),
    ...["panels", "outlines", "shape", "caption"].map((name) => [`change:${name}`, build]),
    ["msg:custom", receive],
  ];
  events.forEach(([name, action]) => model.on(name, action));
  const resized = new ResizeObserver(arrange);
  resized.observe(root);
  build();
  return () => {
    events.forEach(([name, action]) => model.off(name, action));
    resized.disconnect();
    window.removeEventListener("keydown", keepKeys, true);
    cancelAnimationFrame(pending);
  };
}

export default { render };
