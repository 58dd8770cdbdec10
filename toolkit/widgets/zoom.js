// The window through which a picture is seen: `1 / zoom` of it each way about `centre`, never beyond its edges.

// now(name) gives "zoom" and "centre" as set last, ask(changes) sets them, most() is the greatest zoom.
function windowOn(now, ask, most) {
  const kept = (centre, z) => centre.map((v) => Math.min(Math.max(v, 0.5 / z), 1 - 0.5 / z));
  const self = {
    // Puts a node that holds a part of the picture (fractions: left, top, width, height) where it belongs.
    put(node, [left, top, width, height] = [0, 0, 1, 1]) {
      const z = now("zoom");
      const [x, y] = kept(now("centre"), z);
      Object.assign(node.style, {
        left: `${(0.5 + (left - x) * z) * 100}%`, top: `${(0.5 + (top - y) * z) * 100}%`,
        width: `${width * z * 100}%`, height: `${height * z * 100}%`,
      });
    },
    zoom(factor, at = null) {
      const z = now("zoom");
      const to = Math.min(Math.max(z * factor, 1), most());
      const centre = kept(now("centre"), z);
      // What lies under the pointer stays there.
      const next = at ? centre.map((c, i) => c + (at[i] - 0.5) * (1 / z - 1 / to)) : centre;
      if (to !== z) ask({ zoom: to, centre: kept(next, to) });
    },
    // By shares of what is shown.
    pan(dx, dy) {
      const z = now("zoom");
      const [x, y] = now("centre");
      if (z > 1) ask({ centre: kept([x + dx / z, y + dy / z], z) });
    },
    whole: () => ask({ zoom: 1, centre: [0.5, 0.5] }),
    wheel(event, stage, pane) {
      // Only once the picture was clicked, or the page could not be scrolled past it.
      if (!pane || (document.activeElement !== stage && !event.ctrlKey)) return;
      const box = pane.getBoundingClientRect();
      event.preventDefault();
      const at = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      self.zoom(event.deltaY < 0 ? Math.SQRT2 : Math.SQRT1_2, at);
    },
    // Moves the picture with the pointer that was put down in `pane`, until it is let go.
    drag(event, stage, pane) {
      const box = pane.getBoundingClientRect();
      let [x, y] = [event.clientX, event.clientY];
      stage.setPointerCapture(event.pointerId);
      stage.onpointermove = (move) => {
        self.pan((x - move.clientX) / box.width, (y - move.clientY) / box.height);
        [x, y] = [move.clientX, move.clientY];
      };
    },
  };
  return self;
}
