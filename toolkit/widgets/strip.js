// A row of thumbnails along the tape; a click on one goes to the middle of its share.

const clock = (seconds) => {
  const [minutes, rest] = [Math.floor(seconds / 60), Math.floor(seconds % 60)];
  return [Math.floor(minutes / 60), ...[minutes % 60, rest].map((n) => String(n).padStart(2, "0"))].join(":");
};

// pictures as bytes (none yet: empty), of a tape of `frames` at `rate` a second; go(position) is what a click does.
function fillStrip(strip, pictures, frames, rate, go) {
  while (strip.childElementCount > pictures.length) strip.lastChild.remove();
  while (strip.childElementCount < pictures.length) {
    make("img", "", make("button", "", strip, { type: "button", tabIndex: -1 }), { alt: "", draggable: false });
  }
  [...strip.children].forEach((cell, n) => {
    const middle = ((n + 0.5) * frames) / pictures.length;
    cell.onclick = () => go(Math.floor(middle));
    cell.title = clock(middle / rate);
    const img = cell.firstChild;
    if (img.seen !== pictures[n]) link(img, (img.seen = pictures[n]), "image/jpeg");
  });
}
