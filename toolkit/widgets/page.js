// What the widgets' pages share: elements, pictures from bytes, the line of words.

function make(tag, cls, parent, props = {}) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  Object.assign(node, props);
  if (parent) parent.append(node);
  return node;
}

// Bytes as something an <img> or <audio> shows; the one before is let go.
function link(node, bytes, type) {
  if (node.dataset.url) URL.revokeObjectURL(node.dataset.url);
  delete node.dataset.url;
  if (bytes && bytes.byteLength) node.src = node.dataset.url = URL.createObjectURL(new Blob([bytes], { type }));
  else node.removeAttribute("src");
}

// Bytes on a canvas; the newest wins, and `drawn` is called with it.  Pictures that come and go by the thousand pile up
// in the page as <img>.
async function show(canvas, bytes, type, drawn = () => null) {
  const turn = (canvas.turn = (canvas.turn || 0) + 1);
  if (!bytes || !bytes.byteLength) {
    delete canvas.dataset.shown;
    return;
  }
  const picture = await createImageBitmap(new Blob([bytes], { type })).catch(() => null);
  if (!picture) return;
  if (canvas.turn === turn) {
    if (canvas.width !== picture.width) canvas.width = picture.width;
    if (canvas.height !== picture.height) canvas.height = picture.height;
    canvas.getContext("2d").drawImage(picture, 0, 0);
    canvas.dataset.shown = turn;
    drawn();
  }
  picture.close();
}

// A line of words that is hidden while there are none; an error comes with a button that tries again.
function words(parent, again = null) {
  const line = make("div", "message", parent, { hidden: true });
  line.setAttribute("role", "status");
  const said = make("span", "", line);
  const button = again && make("button", "", line, { textContent: "try again", type: "button", onclick: again });
  return (text, kind) => {
    said.textContent = text;
    line.dataset.kind = kind;
    line.hidden = !text;
    if (button) button.hidden = kind !== "error";
  };
}
