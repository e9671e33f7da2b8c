// The copy button of a session copies what is typed: no prompts, no output.
// The theme copies the attribute data-copy of a block where there is one.
const SESSIONS = {
  pycon: {
    prompt: /^(>>>|\.\.\.)( |$)/,
    isTyped: (line, above) => line.startsWith(">>>") || (above && line.startsWith("...")),
  },
  console: {
    prompt: /^\$ /,
    isTyped: (line, above) => line.startsWith("$ ") || above?.endsWith("\\"),
  },
};

function readTyped(text, { prompt, isTyped }) {
  const typed = [];
  let above; // the line above, if it was typed
  for (const line of text.split("\n")) {
    above = isTyped(line, above) ? line : undefined;
    if (above !== undefined) typed.push(line.replace(prompt, ""));
  }
  return typed.join("\n");
}

for (const [language, session] of Object.entries(SESSIONS)) {
  for (const block of document.querySelectorAll(`.language-${language}`)) {
    block.dataset.copy = readTyped(block.querySelector("code").textContent, session);
  }
}
