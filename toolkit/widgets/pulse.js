// A line that is empty as long as the kernel answers.  It speaks for the widgets around it, which have no code of their
// own in the page, and takes them out of the hand's reach when nobody is there to answer.
// Joined by page.py after page.js and kernel.js, whose functions it uses.

function render({ model, el }) {
  const gone = new AbortController();
  el.classList.add("vhs-pulse");
  const line = words(el);
  let kernel = null;
  let planned = null;

  function begin() {
    const whole = el.closest(".vhs-whole");
    if (!whole) {
      planned = setTimeout(begin, 100); // not put into its place yet
      return;
    }
    kernel = kernelOf(model, el, line, undefined, whole);
    const asks = (event) => kernel.check(Boolean(event.target.closest?.(ASKS)));
    const how = { capture: true, signal: gone.signal }; // some keep what they handle to themselves
    for (const kind of ["pointerdown", "keydown", "input", "change"]) whole.addEventListener(kind, asks, how);
    for (const kind of ["pointerenter", "focusin"]) whole.addEventListener(kind, () => kernel.check(), how);
  }
  begin();
  return () => {
    gone.abort();
    clearTimeout(planned);
    kernel?.close();
  };
}

export default { render };
