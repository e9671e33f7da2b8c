// A filter over the tables of the catalogue: rows that do not hold the words are hidden.
const isCatalogue = (table) => table.querySelector("th")?.textContent === "crossing";
const tables = [...document.querySelectorAll(".md-typeset table")].filter(isCatalogue);
if (tables.length) {
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "Filter: an outcome, a family, a tool, any words";
  field.setAttribute("aria-label", field.placeholder);
  field.className = "crossing-filter";
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of tables.flatMap((table) => [...table.tBodies[0].rows])) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    for (const table of tables) {
      const block = table.closest(".md-typeset__scrollwrap") ?? table;
      block.hidden = [...table.tBodies[0].rows].every((row) => row.hidden);
      block.previousElementSibling.hidden = block.hidden;
    }
  });
  document.querySelector(".md-typeset h2").before(field);
}
