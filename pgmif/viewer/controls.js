// The slice viewer's bar, tables and words: elements of the page, no state. widget.js comes after this file.

const HELP = "Wheel or ↑ ↓: slice (Page Up, Page Down: five; Home, End) · drag: window and level (n narrower, " +
  "w wider, b brighter, k darker) · Ctrl + wheel, + − or two fingers: zoom · Shift + drag or Shift + arrows: move · " +
  "double click or 0: reset · i images, d difference, c checkerboard · o outlines";

const SMALLEST_PX = 190, LARGEST_PX = 420; // width of a panel

const APART = "where ranges are far apart, fractions of each are compared";

const WAITING = "waiting for pixels; if they do not come, run the cell again";

function element(tag, attributes = {}, children = []) {
  const node = document.createElement(tag);
  if (tag === "output") node.setAttribute("aria-live", "off"); // it changes at every move of the pointer
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const inWords = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));

function measureTable(panel, slice) {
  const row = (name, values = []) => element("tr", {}, [
    element("th", { text: name, scope: "row" }),
    ...panel.measures.map((_, k) => element("td", { text: inWords(values[k]) })),
  ]);
  return [
    element("tr", {}, [element("td"), ...panel.measures.map((text) => element("th", { text, scope: "col" }))]),
    row("slice", panel.slices[slice]), row("patient", panel.patient),
  ];
}

function toolbar() {
  const parts = {
    slider: element("input", { type: "range", min: 0, step: 1, "aria-label": "slice" }),
    place: element("output", { class: "place" }),
    view: element("select", { "aria-label": "view" },
      ["images", "difference", "checkerboard"].map((v) => new Option(v, v))),
    against: element("select", { "aria-label": "compared with" }),
    outlined: element("input", { type: "checkbox" }),
    names: element("span"),
    window: element("output", { class: "window" }),
    reset: element("button", { type: "button", text: "reset" }),
  };
  parts.bar = element("div", { class: "bar" }, [
    element("label", { text: "slice " }, [parts.slider]), parts.place,
    element("label", { text: "view " }, [parts.view]), element("label", { text: "against " }, [parts.against]),
    element("label", {}, [parts.outlined, parts.names]), parts.window, parts.reset,
  ]);
  return parts;
}
