// One picture that changes by the thousand, on one canvas: the page holds nothing of those before.
function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.className = "vhs-picture";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", model.get("label"));
  el.append(canvas);
  let newest = 0;
  async function draw() {
    const bytes = model.get("value");
    const mine = (newest += 1);
    if (!bytes || !bytes.byteLength) return;
    const picture = await createImageBitmap(new Blob([bytes])).catch(() => null);
    if (!picture) return;
    if (mine === newest) {
      if (canvas.width !== picture.width) canvas.width = picture.width;
      if (canvas.height !== picture.height) canvas.height = picture.height;
      canvas.getContext("2d").drawImage(picture, 0, 0);
      canvas.dataset.shown = mine;
    }
    picture.close(); // its pixels would stay until garbage is collected
  }
  model.on("change:value", draw);
  draw();
  return () => model.off("change:value", draw);
}

export default { render };
