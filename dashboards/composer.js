// A box to write in: Enter sends, Shift+Enter begins a new line, and it grows with its text.

/** `onSend(text)` is called with what was written, which is never blank. */
export function composer(form, onSend) {
  const box = form.querySelector("textarea");
  const button = form.querySelector("button");
  const look = () => {
    button.disabled = box.value.trim() === "";
  };
  const send = () => {
    const text = box.value.trim();
    if (text === "") return;
    box.value = "";
    look();
    onSend(text);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
    box.focus();
  });
  box.addEventListener("keydown", (event) => {
    // While a word is being composed, as in Japanese, Enter takes the word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  box.addEventListener("input", look);
  look();
  return {
    focus: () => box.focus(),
    get text() {
      return box.value;
    },
    set text(value) {
      box.value = value;
      look();
    },
  };
}
