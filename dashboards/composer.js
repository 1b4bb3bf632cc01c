// The message box: Enter sends, Shift+Enter starts a new line; the box grows with its text.

/** `onSend(text)` is called with the text, which is never blank. */
export function composer(form, onSend) {
  const box = form.querySelector("textarea");
  const button = form.querySelector("button");
  const updateButton = () => {
    button.disabled = box.value.trim() === "";
  };
  const send = () => {
    const text = box.value.trim();
    if (text === "") return;
    box.value = "";
    updateButton();
    onSend(text);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
    box.focus();
  });
  box.addEventListener("keydown", (event) => {
    // While an input method composes a word, as in Japanese, Enter accepts the word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  box.addEventListener("input", updateButton);
  updateButton();
  return {
    focus: () => box.focus(),
    get text() {
      return box.value;
    },
    set text(value) {
      box.value = value;
      updateButton();
    },
  };
}
