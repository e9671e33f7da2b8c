// The copy button of a doctest copies the code alone: no prompts, no output.
document.addEventListener("click", (event) => {
  const button = event.target.closest(".md-clipboard, .md-code__button");
  const code = button?.closest("pre, .highlight")?.querySelector("code");
  if (!code || !/^(>>>|\$) /m.test(code.innerText)) return;
  const lines = code.innerText.split("\n").filter((line) => /^(>>>|\.\.\.|\$)( |$)/.test(line));
  const text = lines.map((line) => line.replace(/^(>>>|\.\.\.|\$) ?/, "")).join("\n");
  event.stopImmediatePropagation();
  navigator.clipboard.writeText(text);
}, true);
