// Asks the kernel: one request on its way at a time, always ending with the newest; says so when nobody is there to
// answer, and takes what needs a kernel out of the hand's reach.
const SILENCE = 4000; // milliseconds after which no answer is told
const AGAIN = 8100; // after which a silent kernel is asked once more
const CALM = 3000; // for which an answer is believed
const SHORT = 300; // after which a page has let go of what it held of a kernel
const SAID = {
  restarted: "The kernel was restarted since this was drawn. Run the cell again.",
  none: "The kernel that drew this is gone. Start one and run the cell again.",
  busy: "The kernel is busy with a cell; it answers when that is done.",
  silence: "No kernel answers: it is busy, was restarted, or there is none. Run the cell again when it is idle.",
};
const ASKS = ".asks, .jupyter-button, .widget-inline-hbox:not(.widget-html)"; // ours, and the controls of ipywidgets

// say(text, kind) shows a sentence; settled() follows the answer to the newest request.  Settings travel as traits with
// a number, `asked`, which comes back as `answered`; words (`tell`) come back as { kind: "done", number }.
// whole is the element that dies with the kernel, el unless others speak through this one.
function kernelOf(model, el, say, settled = () => null, whole = el) {
  let wanted = {}; // what was set here and not yet sent
  let waiting = 0; // the number of the request on its way
  let telling = 0;
  let pinging = ""; // the question on its way whether anybody is there
  let pings = 0;
  let pinged = 0; // when it was asked
  let heard = performance.now(); // when the kernel gave the last sign of life
  let patience = null;
  let retry = null;
  let later = null;
  let acted = false; // whether a hand did something for which an answer is due at that later look
  let silent = false;
  let dead = "";

  function watch() {
    clearTimeout(patience);
    patience = setTimeout(() => {
      patience = null;
      waiting = 0;
      silent = true;
      el.classList.remove("busy");
      const { kernel } = model.widget_manager ?? {}; // JupyterLab and Voila tell, others may not
      say(kernel?.status === "busy" ? SAID.busy : SAID.silence, "silence");
      ping();
      clearTimeout(retry);
      retry = setTimeout(again, AGAIN);
    }, SILENCE);
  }
  // A question that is asked around a restart may get lost; a busy kernel has it and will come to it.
  function again() {
    if (!silent || dead) return;
    if (model.widget_manager?.kernel?.status !== "busy") ping();
    retry = setTimeout(again, AGAIN);
  }
  function rest() {
    clearTimeout(patience);
    patience = null;
  }
  function calm() {
    rest();
    heard = performance.now();
    el.classList.remove("busy");
    const { text, kind } = model.get("message") ?? { text: "", kind: "note" };
    if (silent || dead) say(text, kind);
    silent = false;
    if (dead) bury("");
  }
  function bury(why) {
    if (why) {
      rest();
      wanted = {};
      waiting = 0;
      el.classList.remove("busy");
    }
    dead = why;
    whole.classList.toggle("vhs-dead", Boolean(why));
    for (const part of whole.querySelectorAll(ASKS)) part.inert = Boolean(why);
    if (why) say(SAID[why], "dead");
  }
  const kernelThere = () => (model.widget_manager?.kernel ? "restarted" : "none");
  // A message that cannot be sent has nobody to go to; a page that lost its kernel for another says so here, too.
  function sent(content, callbacks) {
    try {
      model.send(content, callbacks);
    } catch {
      bury(kernelThere());
    }
  }
  // Only a widget that is known to the kernel answers.  One that is through with the question and has not answered was
  // started after this was drawn: it says so with its status, which no message can overtake.
  function ping() {
    if (pinging && performance.now() - pinged < 2 * SILENCE) return; // else it got lost
    const mine = (pinging = `ping ${(pings += 1)}`);
    pinged = performance.now();
    const status = ({ content }) => {
      if (content.execution_state === "idle" && pinging === mine) {
        pinging = "";
        bury("restarted");
      }
    };
    sent({ kind: "ping", number: mine }, { iopub: { status } });
  }
  function look(acts) {
    [later, acted] = [null, false];
    if (acts && !patience && !silent) watch();
    ping();
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
    if (said.kind !== "done") return;
    heard = performance.now();
    const newest = said.number === telling;
    if (said.number === pinging) pinging = "";
    else if (!newest) return;
    calm();
    if (waiting) watch();
    if (newest) settled();
  }
  // The page saw its kernel go, or its connection come back.
  function live() {
    pinging = "";
    if (el.closest(".jupyter-widgets-disconnected")) bury(kernelThere());
    else later ??= setTimeout(() => look(acted), SHORT);
  }
  model.on("change:answered", answered);
  model.on("msg:custom", told);
  model.on("comm_live_update", live);
  const begun = setTimeout(() => {
    if (el.closest(".jupyter-widgets-disconnected")) bury(kernelThere()); // drawn from what a notebook keeps
  });
  return {
    // false where there is nobody to ask.
    ask(changes) {
      if (dead) return false;
      Object.assign(wanted, changes);
      if (!waiting) send();
      return true;
    },
    tell(kind, more = {}) {
      if (dead) return false;
      telling += 1;
      el.classList.add("busy");
      watch();
      sent({ kind, number: telling, ...more });
      return !dead;
    },
    // Somebody looks (or acts: then silence is told): is anybody there?
    check(acts = false) {
      if (dead) return;
      const soon = heard + CALM - performance.now();
      acted ||= acts;
      if (soon <= 0) look(acted);
      else later ??= setTimeout(() => look(acted), soon);
    },
    // What is set here, sent or not.
    now: (name) => (name in wanted ? wanted[name] : model.get(name)),
    waiting: () => waiting > 0,
    dead: () => Boolean(dead),
    close() {
      rest();
      clearTimeout(retry);
      clearTimeout(later);
      clearTimeout(begun);
      model.off("change:answered", answered);
      model.off("msg:custom", told);
      model.off("comm_live_update", live);
    },
  };
}
