// A table that scrolls sideways can be scrolled with the keys, as blocks of code can.
// The theme wraps tables once the page is there.
addEventListener("load", () => {
  for (const block of document.querySelectorAll(".md-typeset__scrollwrap")) {
    block.tabIndex = 0;
  }
});
