// A box that is too narrow for what it holds says so: a shadow on each side where more lies, and words below.
// The box (.wide) lies in an .edge, which its .more words follow; grid.css draws both.

function sideways(box) {
  const look = () => {
    const past = box.scrollLeft;
    const ahead = box.scrollWidth - box.clientWidth - past;
    box.parentElement.dataset.more = [past > 1 ? "left" : "", ahead > 1 ? "right" : ""].join(" ").trim();
  };
  box.addEventListener("scroll", look, { passive: true });
  const sizes = new ResizeObserver(look);
  for (const node of [box, ...box.children]) sizes.observe(node);
  return () => sizes.disconnect();
}
