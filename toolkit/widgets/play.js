// Plays a burst of pictures at their own times, again and again, until the function it gives is called.

// steps : [milliseconds, first picture, pictures]; `length` of it all; draw(n) shows step n.
function playing({ steps, length }, draw) {
  const begun = performance.now();
  let shown = -1;
  let frame = 0;
  const tick = (time) => {
    const at = Math.max(0, time - begun) % length;
    let n = steps.length - 1;
    while (n > 0 && steps[n][0] > at) n -= 1;
    if (n !== shown) draw((shown = n));
    if (frame !== null) frame = requestAnimationFrame(tick);
  };
  frame = requestAnimationFrame(tick);
  return () => {
    cancelAnimationFrame(frame);
    frame = null;
  };
}
