// The rows of a sweep: a table that sorts by any column and a plot of quality against speed; both choose the same row.
// Joined by page.py after page.js, kernel.js and sideways.js, whose functions it uses.
const SVG = "http://www.w3.org/2000/svg";

function render({ model, el }) {
  el.classList.add("vhs-grid");
  const more = `<div class="hint more">scroll sideways for more</div>`;
  el.innerHTML = `<div class="edge"><div class="wide"><svg class="plot" viewBox="0 0 640 260" role="img"></svg></div></div>${more}
    <div class="hint">bold, and orange in the plot: no other setting is both better and faster</div>
    <div class="edge"><div class="wide"><table><thead><tr></tr></thead><tbody></tbody></table></div></div>${more}`;
  const [plot, hint, head, body] = [".plot", ".hint:not(.more)", "thead tr", "tbody"].map((name) => el.querySelector(name));
  const kernel = kernelOf(model, el, () => null); // the box around it says what is to be said
  const closing = [...el.querySelectorAll(".wide")].map(sideways);
  let [order, up] = [null, false];

  const number = (v) => typeof v === "number";
  function shown(v, column) {
    if (!number(v)) return v == null ? "" : String(v);
    return v.toFixed(model.get("decimals")[column] ?? 0).replace(/^-(?=[0.]*$)/, "");
  }
  function choose(key) {
    if (kernel.dead()) return;
    model.set("chosen", key);
    model.save_changes();
    kernel.tell("open", { open: key });  // told again for a row that is chosen already: its tape may be back
  }
  function sorted(rows) {
    if (!order) return rows;
    const compare = (a, b) => (number(a) && number(b) ? a - b : String(a) < String(b) ? -1 : 1);
    return [...rows].sort((one, two) => {
      const [a, b] = [one[order], two[order]];
      if (a == null || b == null) return (a == null) - (b == null);  // what is missing stays below
      return a === b ? 0 : (up ? 1 : -1) * compare(a, b);
    });
  }
  function drawTable() {
    const columns = model.get("columns");
    head.replaceChildren(...columns.map((name) => {
      const cell = document.createElement("th");
      const button = document.createElement("button");
      button.textContent = name + (order === name ? (up ? " ▲" : " ▼") : "");
      button.onclick = () => {
        up = order === name ? !up : model.get("best_up")[name] === false;  // the best first
        order = name;
        drawTable();
      };
      cell.append(button);
      return cell;
    }));
    body.replaceChildren(...sorted(model.get("rows")).map((row) => {
      const line = document.createElement("tr");
      line.tabIndex = 0;
      line.dataset.key = row.key;
      line.classList.toggle("front", model.get("front").includes(row.key));
      line.setAttribute("aria-selected", row.key === model.get("chosen"));
      line.onclick = () => choose(row.key);
      line.onkeydown = (event) => {
        if (event.key !== "Enter") return;
        event.stopPropagation();
        choose(row.key);
      };
      columns.forEach((name) => {
        const cell = document.createElement("td");
        cell.textContent = shown(row[name], name);
        line.append(cell);
      });
      return line;
    }));
  }
  function drawPlot() {
    const [x, y] = model.get("axes");
    const rows = model.get("rows").filter((r) => number(r[x]) && number(r[y]));
    plot.style.display = hint.style.display = rows.length ? "" : "none";
    plot.replaceChildren();
    if (!rows.length) return;
    const put = (kind, props, text = "") => {
      const part = document.createElementNS(SVG, kind);
      Object.entries(props).forEach(([k, v]) => part.setAttribute(k, v));
      part.textContent = text;
      plot.append(part);
      return part;
    };
    const scale = (name, from, to) => {
      const values = rows.map((r) => r[name]);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      return [(v) => (high > low ? from + ((v - low) / (high - low)) * (to - from) : (from + to) / 2), low, high];
    };
    const [atX, lowX, highX] = scale(x, 70, 620);
    const [atY, lowY, highY] = scale(y, 215, 34);
    put("path", { d: "M60 22V225H630", class: "axis" });
    put("text", { x: 340, y: 254, "text-anchor": "middle" }, `${x} (frames per second, more is better)`);
    put("text", { x: 60, y: 12 }, `${y} (${model.get("best_up")[y] === false ? "less" : "more"} is better)`);
    [[atX(lowX), 240, lowX], [atX(highX), 240, highX]].forEach(([px, py, v]) =>
      put("text", { x: px, y: py, "text-anchor": "middle" }, shown(v, x)));
    [[lowY, atY(lowY)], [highY, atY(highY)]].forEach(([v, py]) =>
      put("text", { x: 56, y: py + 4, "text-anchor": "end" }, shown(v, y)));
    const front = model.get("front");
    const byKey = Object.fromEntries(rows.map((r) => [r.key, r]));
    const points = front.filter((k) => byKey[k]).map((k) => `${atX(byKey[k][x])},${atY(byKey[k][y])}`);
    put("polyline", { points: points.join(" "), class: "line" });
    rows.forEach((r) => {
      const kind = [front.includes(r.key) ? "front" : "", r.key === model.get("chosen") ? "chosen" : ""].join(" ");
      const point = put("circle", { cx: atX(r[x]), cy: atY(r[y]), r: 5, class: kind });
      point.dataset.key = r.key;
      point.onclick = () => choose(r.key);
      const title = document.createElementNS(SVG, "title");
      title.textContent = model.get("columns").map((n) => `${n} ${shown(r[n], n)}`).join("\n");
      point.append(title);
    });
  }
  function draw() {
    drawTable();
    drawPlot();
  }
  const shownTraits = "change:rows change:columns change:front change:axes change:chosen";
  model.on(shownTraits, draw);
  draw();
  return () => {
    kernel.close();
    closing.forEach((close) => close());
    model.off(shownTraits, draw);
  };
}

export default { render };
