// The queue as a list: a picture of the tape, how far it is, and a button for each thing that may be done with a job.
const HEAD = ["", "job", "state", "tape", "result", "progress", "left", "", ""];

function render({ model, el }) {
  el.classList.add("vhs-grid");
  el.innerHTML = `<div class="wide"><table><thead><tr></tr></thead><tbody></tbody></table></div>`;
  const [head, body] = ["thead tr", "tbody"].map((name) => el.querySelector(name));
  const make = (tag, props, ...children) => {
    const element = Object.assign(document.createElement(tag), props);
    element.append(...children);
    return element;
  };
  head.append(...HEAD.map((name) => make("th", { textContent: name })));

  function cells(row) {
    const bar = make("td", {});
    if (row.share != null) {
      bar.append(make("progress", { value: row.share, max: 1 }), ` ${row.stage} ${Math.round(100 * row.share)} %`);
    }
    const buttons = row.actions.map((what) => {
      const button = make("button", { textContent: what, onclick: () => model.send({ do: what, job: row.id }) });
      button.setAttribute("aria-label", `${what} job ${row.id}`);
      return button;
    });
    return [
      make("td", {}, ...(row.thumb ? [make("img", { src: row.thumb, alt: `picture of ${row.tape}` })] : [])),
      make("td", { textContent: row.id }), make("td", { textContent: row.state }),
      make("td", { textContent: row.tape }), make("td", { textContent: row.output }), bar,
      make("td", { textContent: row.left ?? "" }), make("td", { className: "words", textContent: row.note }),
      make("td", {}, ...buttons),
    ];
  }
  function draw() {
    // The button that has the focus keeps it.
    const held = el.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    body.replaceChildren(...model.get("rows").map((row) => make("tr", {}, ...cells(row))));
    if (held) body.querySelector(`[aria-label="${held}"]`)?.focus();
  }
  model.on("change:rows", draw);
  draw();
}

export default { render };
