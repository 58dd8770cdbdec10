// A watched run: a row and a curve for each figure, alerts as they come, and a button that ends it.
// Joined by page.py after page.js and kernel.js, whose functions it uses.
const WIDTH = 300, HEIGHT = 26;
const SVG = "http://www.w3.org/2000/svg";

function render({ model, el }) {
  const gone = new AbortController();
  el.classList.add("vhs-watch");
  el.innerHTML = `
    <div class="head"><b class="name"></b><span class="state" role="status"></span>
      <button type="button" class="asks"></button></div>
    <ul class="alerts" role="log" aria-label="alerts"></ul>
    <div class="wide"><table>
      <thead><tr><th scope="col">figure</th><th scope="col">now</th><th scope="col">most</th>
        <th scope="col" class="time"></th></tr></thead>
      <tbody></tbody>
    </table></div>`;
  const [name, state, button, alerts, time, body] =
    [".name", ".state", "button", ".alerts", ".time", "tbody"].map((s) => el.querySelector(s));
  const line = words(el);
  alerts.before(el.lastChild);
  const kernel = kernelOf(model, el, (text, kind) => {
    line(text, kind);
    if (kind === "dead") state.textContent = "not watched any more";
  });
  button.onclick = () => (button.disabled = kernel.tell("stop", { do: "stop" }));

  function head() {
    const watching = model.get("state") === "watching";
    name.textContent = model.get("name");
    const { times } = model.get("seen");
    const last = times.length ? times[times.length - 1] : 0;
    state.textContent = watching ? `${last.toFixed(0)} s` : model.get("state");
    button.textContent = model.get("action");
    button.hidden = !watching;
    time.textContent = `0 to ${last.toFixed(0)} s`;
  }

  function warn() {
    const told = model.get("seen").alerts;
    alerts.replaceChildren(...told.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    alerts.hidden = !told.length;
    alerts.scrollTop = alerts.scrollHeight;
  }

  function row() {
    const line = document.createElement("tr");
    line.innerHTML = `<th scope="row"></th><td></td><td></td><td></td>`;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.append(document.createElementNS(SVG, "path"));
    line.lastChild.append(svg);
    return line;
  }

  function fill(line, { name, unit, now, most, points, alert }) {
    const [title, current, largest, cell] = line.children;
    title.textContent = name;
    current.textContent = told(now, unit);
    largest.textContent = told(most, unit);
    line.classList.toggle("alert", alert);
    const svg = cell.firstChild;
    svg.setAttribute("aria-label", `${name} over time, at most ${told(most, unit)}`);
    svg.firstChild.setAttribute("d", path(points, model.get("seen").times, most));
  }

  function table() {
    const { rows } = model.get("seen");
    while (body.rows.length > rows.length) body.lastChild.remove();
    while (body.rows.length < rows.length) body.append(row());
    rows.forEach((one, n) => fill(body.rows[n], one));
  }

  const on = (names, act) => {
    const events = names.split(" ").map((n) => `change:${n}`).join(" ");
    model.on(events, act);
    gone.signal.addEventListener("abort", () => model.off(events, act));
    act();
  };
  on("name state seen action", head);
  on("message", () => line(model.get("message").text, model.get("message").kind));
  on("seen", () => {
    warn();
    table();
  });
  el.addEventListener("pointerenter", () => kernel.check(), { signal: gone.signal });
  return () => {
    gone.abort();
    kernel.close();
  };
}

function told(value, unit) {
  if (value == null) return "\u2013";
  const digits = value !== 0 && Math.abs(value) < 100 && !Number.isInteger(value) ? 1 : 0;
  return `${value.toFixed(digits)}${unit && "\u00a0"}${unit}`;
}

// A line through the values; where one is missing it begins anew.
function path(points, times, most) {
  const end = Math.max(times[times.length - 1] ?? 0, 1e-9), top = Math.max(most, 1e-9);
  let drawing = false;
  return points.map((value, n) => {
    if (value == null) {
      drawing = false;
      return "";
    }
    const x = (WIDTH * (times[n] / end)).toFixed(1), y = (HEIGHT - 2 - (HEIGHT - 4) * (value / top)).toFixed(1);
    const piece = drawing ? `L${x} ${y}` : `M${x} ${y}h.01`; // a lone point is a dot
    drawing = true;
    return piece;
  }).join("");
}

export default { render };
