// Asks the kernel: one request on its way at a time, always ending with the newest; notices that none answers.
const SILENCE = 4000; // milliseconds after which the kernel is said not to answer
const NO_ANSWER = "No kernel answers: it is busy, was restarted, or there is none. Run the cell again when it is idle.";

// say(text, kind) shows a sentence; settled() follows the answer to the newest request.  Settings travel as traits with
// a number, `asked`, which comes back as `answered`; words (`tell`) come back as { kind: "done", number }.
function kernelOf(model, el, say, settled = () => null) {
  let wanted = {}; // what was set here and not yet sent
  let waiting = 0; // the number of the request on its way
  let telling = 0;
  let patience = null;
  let silent = false;

  function watch() {
    clearTimeout(patience);
    patience = setTimeout(() => {
      waiting = 0;
      silent = true;
      el.classList.remove("busy");
      say(NO_ANSWER, "silence");
    }, SILENCE);
  }
  function calm() {
    clearTimeout(patience);
    el.classList.remove("busy");
    const { text, kind } = model.get("message") ?? { text: "", kind: "note" };
    if (silent) say(text, kind);
    silent = false;
  }
  function send() {
    const number = model.get("asked") + 1;
    for (const [name, value] of Object.entries(wanted)) model.set(name, value);
    wanted = {};
    waiting = number;
    model.set("asked", number);
    model.save_changes();
    watch();
  }
  function answered() {
    if (silent) calm(); // it was only busy
    if (!waiting || model.get("answered") < waiting) return;
    waiting = 0;
    calm();
    if (Object.keys(wanted).length) send();
    else settled();
  }
  function told(said) {
    if (said.kind !== "done" || said.number !== telling) return;
    calm();
    if (waiting) watch();
    settled();
  }
  model.on("change:answered", answered);
  model.on("msg:custom", told);
  return {
    ask(changes) {
      Object.assign(wanted, changes);
      if (!waiting) send();
    },
    tell(kind, more = {}) {
      telling += 1;
      el.classList.add("busy");
      model.send({ kind, number: telling, ...more });
      watch();
    },
    // What is set here, sent or not.
    now: (name) => (name in wanted ? wanted[name] : model.get(name)),
    waiting: () => waiting > 0,
    close() {
      clearTimeout(patience);
      model.off("change:answered", answered);
      model.off("msg:custom", told);
    },
  };
}
