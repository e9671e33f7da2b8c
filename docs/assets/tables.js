// A table of sentences becomes a list on a phone: each cell is told apart by the heading of its column.
const LONG = 40; // characters of a cell that is read as a sentence
for (const table of document.querySelectorAll(".md-typeset table:not([class])")) {
  const headings = [...table.querySelectorAll("th")].map((cell) => cell.textContent);
  const cells = [...table.querySelectorAll("td")];
  if (headings.length < 3 || !cells.some((cell) => cell.textContent.length > LONG)) continue;
  table.dataset.holds = "sentences";
  for (const cell of cells) cell.dataset.heading = headings[cell.cellIndex];
}

// A table that scrolls sideways can be scrolled with the keys, as blocks of code can.
// The theme wraps tables once the page is there.
addEventListener("load", () => {
  for (const block of document.querySelectorAll(".md-typeset__scrollwrap")) {
    block.tabIndex = 0;
  }
});
