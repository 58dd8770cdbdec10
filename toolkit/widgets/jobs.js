// The queue as a list: a picture of the tape, how far it is, and a button for each thing that may be done with a job.
// Joined by page.py after page.js, kernel.js and sideways.js, whose functions it uses.
const HEAD = ["", "job", "state", "tape", "result", "progress", "left", "", ""];

function render({ model, el }) {
  el.classList.add("vhs-grid", "vhs-jobs");
  el.innerHTML = `<div class="edge"><div class="wide"><table><thead><tr></tr></thead><tbody></tbody></table></div></div>
    <div class="hint more">scroll sideways for more</div>`;
  const [head, body] = ["thead tr", "tbody"].map((name) => el.querySelector(name));
  const cell = (tag, props, ...children) => {
    const element = make(tag, "", null, props);
    element.append(...children);
    return element;
  };
  const kernel = kernelOf(model, el, () => null); // the box around it says what is to be said
  const close = sideways(el.querySelector(".wide"));
  body.classList.add("asks");
  head.append(...HEAD.map((name) => cell("th", { textContent: name })));

  function cells(row) {
    const bar = cell("td", {});
    if (row.share != null) {
      bar.append(cell("progress", { value: row.share, max: 1 }), ` ${row.stage} ${Math.round(100 * row.share)} %`);
    }
    const buttons = row.actions.map((what) => {
      const button = cell("button", { textContent: what, onclick: () => kernel.tell("act", { do: what, job: row.id }) });
      button.setAttribute("aria-label", `${what} job ${row.id}`);
      return button;
    });
    return [
      cell("td", {}, ...(row.thumb ? [cell("img", { src: row.thumb, alt: `picture of ${row.tape}` })] : [])),
      cell("td", { className: "job", textContent: row.id }), cell("td", { textContent: row.state }),
      cell("td", { className: "file", textContent: row.tape }), cell("td", { className: "file result", textContent: row.output }),
      bar, cell("td", { className: "left", textContent: row.left ?? "" }),
      cell("td", { className: "words", textContent: row.note }), cell("td", { className: "actions" }, ...buttons),
    ];
  }
  function draw() {
    // The button that has the focus keeps it.
    const held = el.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    body.replaceChildren(...model.get("rows").map((row) => cell("tr", {}, ...cells(row))));
    if (held) body.querySelector(`[aria-label="${held}"]`)?.focus();
  }
  model.on("change:rows", draw);
  draw();
  return () => {
    kernel.close();
    close();
    model.off("change:rows", draw);
  };
}

export default { render };
