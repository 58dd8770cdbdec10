// The report's own drawing: two pictures under a wipe, blinking or subtracted, enlarged; tables that sort.
"use strict";

document.querySelectorAll("table").forEach((table) => {
  table.querySelectorAll("th button").forEach((button, column) => {
    let up = false;
    button.onclick = () => {
      up = !up;
      const body = table.tBodies[0];
      const value = (row) => {
        const cell = row.cells[column];
        return "n" in cell.dataset ? Number(cell.dataset.n) : cell.textContent;
      };
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (typeof x === "number" && typeof y === "number") return x - y;
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        return x < y ? -1 : x > y ? 1 : 0;
      };
      [...body.rows].sort((a, b) => (up ? -1 : 1) * order(a, b)).forEach((row) => body.append(row));
    };
  });
});

const source = document.getElementById("pictures");
if (source) viewer(document.querySelector(".viewer"), JSON.parse(source.textContent));

const motion = document.getElementById("films");
if (motion) player(document.querySelector(".films"), JSON.parse(motion.textContent));

function make(tag, props, ...children) {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
}

function choice(label, names, at, changed) {
  const select = make("select", { onchange: changed, ariaLabel: label });
  names.forEach((name, i) => select.append(make("option", { value: i, textContent: name })));
  select.value = at;
  return select;
}

// A burst again and again; half a second is over before one has seen it, so it begins at a quarter of its speed.
function player(box, data) {
  const screen = make("video", { loop: true, muted: true, autoplay: true, playsInline: true });
  const time = choice("burst", data.times, 0, show);
  const speeds = [0.25, 0.5, 1].map((speed) =>
    make("button", { type: "button", textContent: `speed ${speed}`, onclick: () => pace(speed) }));
  const pause = make("button", { type: "button", textContent: "pause", onclick: () => {
    if (screen.paused) screen.play(); else screen.pause();
  } });
  screen.onpause = screen.onplay = () => pause.setAttribute("aria-pressed", screen.paused);
  box.append(make("div", { className: "controls" }, time, ...speeds, pause), make("div", { className: "wide" }, screen));
  function show() {
    screen.src = data.films[time.value];
  }
  function pace(speed) {
    screen.defaultPlaybackRate = screen.playbackRate = speed;
    speeds.forEach((b) => b.setAttribute("aria-pressed", b.textContent === `speed ${speed}`));
  }
  pace(0.25);
  show();
}

function viewer(box, data) {
  const one = make("img", { className: "one", alt: "" });
  const two = make("img", { className: "two", alt: "" });
  const tags = ["left", "right"].map((side) => make("span", { className: `tag ${side}` }));
  const stage = make("div", { className: "stage", tabIndex: 0, role: "slider", ariaLabel: "wipe" }, one, two);
  const left = choice("left", data.names, 0, draw);
  const right = choice("right", data.names, Math.min(1, data.names.length - 1), draw);
  const time = choice("time", data.times, 0, draw);
  let blinking = null;
  const modes = ["wipe", "blink", "difference"].map((mode) =>
    make("button", { type: "button", textContent: mode, onclick: () => choose(mode) }));
  const zooms = [1, 2, 4, 8].map((zoom) =>
    make("button", { type: "button", textContent: `x${zoom}`, onclick: () => enlarge(zoom) }));
  box.append(
    make("div", { className: "controls" }, left, right, time, ...modes, ...zooms),
    make("div", { className: "view" }, make("div", { className: "frame" }, stage), ...tags),
  );
  stage.style.aspectRatio = data.dar;

  function draw() {
    one.src = data.images[left.value][time.value];
    two.src = data.images[right.value][time.value];
    [one.alt, two.alt] = [data.names[left.value], data.names[right.value]];
    name();
  }
  // In a blink, which of the two is on display; else both.
  function name() {
    const blinks = stage.dataset.mode === "blink";
    tags[0].textContent = blinks && stage.classList.contains("second") ? "" : one.alt;
    tags[1].textContent = blinks && !stage.classList.contains("second") ? "" : two.alt;
  }
  function choose(mode) {
    stage.dataset.mode = mode;
    stage.classList.remove("second");
    name();
    modes.forEach((b) => b.setAttribute("aria-pressed", b.textContent === mode));
    clearInterval(blinking);
    if (mode === "blink") blinking = setInterval(() => { stage.classList.toggle("second"); name(); }, 500);
  }
  function enlarge(zoom) {
    // What is in the middle stays there.
    const frame = stage.parentElement, grows = zoom / (parseFloat(stage.style.width || "100") / 100);
    const middle = [frame.scrollLeft + frame.clientWidth / 2, frame.scrollTop + frame.clientHeight / 2];
    stage.style.width = `${100 * zoom}%`;
    frame.scrollLeft = middle[0] * grows - frame.clientWidth / 2;
    frame.scrollTop = middle[1] * grows - frame.clientHeight / 2;
    zooms.forEach((b) => b.setAttribute("aria-pressed", b.textContent === `x${zoom}`));
  }
  function move(percent) {
    const at = Math.min(100, Math.max(0, percent));
    stage.style.setProperty("--at", `${at}%`);
    stage.setAttribute("aria-valuenow", Math.round(at));
  }
  const drag = (event) => {
    const area = stage.getBoundingClientRect();
    if (stage.dataset.mode === "wipe") move((100 * (event.clientX - area.left)) / area.width);
  };
  stage.onpointerdown = (event) => {
    stage.setPointerCapture(event.pointerId);
    stage.onpointermove = drag;
    drag(event);
  };
  stage.onpointerup = () => { stage.onpointermove = null; };
  stage.onkeydown = (event) => {
    const step = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
    if (!step) return;
    move(parseFloat(stage.style.getPropertyValue("--at") || "50") + step);
    event.preventDefault();
  };
  draw();
  move(50);
  choose("wipe");
  enlarge(1);
}
