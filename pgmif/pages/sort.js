// Tables whose headings sort: numbers as numbers, the rest as words; empty cells last.
document.querySelectorAll("table.sortable").forEach((table) => {
  const headings = [...table.querySelectorAll("thead th")], body = table.tBodies[0];
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const rising = heading.getAttribute("aria-sort") !== "ascending";
    headings.forEach((h) => h.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const text = (row) => row.cells[column].textContent.trim();
    const compare = (a, b) => {
      const p = text(a), q = text(b);
      if (!p || !q) return !p - !q;
      const order = isNaN(p) || isNaN(q) ? p.localeCompare(q, "en", { numeric: true }) : p - q;
      return rising ? order : -order;
    };
    body.append(...[...body.rows].sort(compare));
  }));
});
