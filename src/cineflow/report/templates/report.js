"use strict";
(() => {
  const movie = JSON.parse(document.getElementById("movie").textContent);
  const [width, height] = movie.size;
  const [shapeWide, shapeHigh] = movie.shape; // the picture's true shape; pixels may not be square
  const count = movie.frames.length;
  const rows = movie.nodes.length, columns = movie.nodes[0].length;
  const bytes = Uint8Array.from(atob(movie.steps), (letter) => letter.charCodeAt(0));
  const steps = new Int16Array(bytes.buffer); // [frame][row][column][x, y], little endian
  const screen = document.getElementById("screen");
  const draw = screen.getContext("2d");
  const charts = [...document.querySelectorAll("figure[data-step]")].map((figure) => ({
    first: Number(figure.dataset.first),
    step: Number(figure.dataset.step),
    svg: figure.querySelector("svg"),
    cursor: figure.querySelector(".cursor"),
    output: figure.querySelector("output"),
    values: JSON.parse(figure.querySelector("script").textContent),
  }));
  const play = document.getElementById("play");
  const scrub = document.getElementById("scrub");
  const speed = document.getElementById("speed");
  const readout = document.getElementById("readout");
  const modes = [...document.querySelectorAll("[data-mode]")];
  document.getElementById("full").textContent = `${movie.full}${movie.clipped ? "+" : ""} ${movie.unit}`;

  let frame = 0;
  let mode = movie.wall ? "wall" : "points";
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  let across = 1, down = 1; // canvas pixels per picture pixel
  let dot = 1; // canvas pixels per pixel of the screen: lines and markers have its size

  const colours = Array.from({ length: 64 }, (_, index) => {
    const at = index / 63;
    const upper = movie.ramp.findIndex((stop, i) => i > 0 && at <= stop[0]);
    const [low, high] = [movie.ramp[upper - 1], movie.ramp[upper]];
    const share = (at - low[0]) / (high[0] - low[0]);
    return `rgb(${[1, 2, 3].map((c) => Math.round(low[c] + share * (high[c] - low[c]))).join()})`;
  });
  const length = (x, y) => Math.hypot(x * movie.per_px[0], y * movie.per_px[1]);
  const colourOf = (value) => colours[Math.min(63, Math.round((63 * value) / movie.full))];
  // A pixel's centre is an integer; the canvas puts it at + 1/2.
  const onScreen = ([x, y]) => [(x + 0.5) * across, (y + 0.5) * down];

  function nodeAt(row, column) {
    const at = 2 * ((frame * rows + row) * columns + column);
    const [x, y] = movie.nodes[row][column];
    const dx = steps[at] * movie.step_px, dy = steps[at + 1] * movie.step_px;
    return { x, y, dx, dy, moved: length(dx, dy) };
  }

  function drawMesh() {
    draw.lineWidth = 1.2 * dot;
    draw.globalAlpha = 0.8;
    const segment = (a, b) => {
      draw.strokeStyle = colourOf((a.moved + b.moved) / 2);
      draw.beginPath();
      draw.moveTo(...onScreen([a.x + a.dx, a.y + a.dy]));
      draw.lineTo(...onScreen([b.x + b.dx, b.y + b.dy]));
      draw.stroke();
    };
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        if (!movie.shown[row][column]) continue;
        const node = nodeAt(row, column);
        if (column + 1 < columns && movie.shown[row][column + 1]) segment(node, nodeAt(row, column + 1));
        if (row + 1 < rows && movie.shown[row + 1][column]) segment(node, nodeAt(row + 1, column));
      }
    }
  }

  function drawArrows() {
    draw.lineWidth = 1.4 * dot;
    draw.globalAlpha = 0.9;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        if (!movie.shown[row][column]) continue;
        const node = nodeAt(row, column);
        const pixels = Math.hypot(node.dx, node.dy);
        if (pixels < 0.3) continue;
        const [x, y] = onScreen([node.x + node.dx, node.y + node.dy]);
        const head = Math.min(6 * dot, 0.6 * pixels * across);
        const angle = Math.atan2(node.dy * down, node.dx * across);
        draw.strokeStyle = colourOf(node.moved);
        draw.beginPath();
        draw.moveTo(...onScreen([node.x, node.y]));
        draw.lineTo(x, y);
        for (const side of [-2.6, 2.6]) {
          draw.moveTo(x, y);
          draw.lineTo(x + head * Math.cos(angle + side), y + head * Math.sin(angle + side));
        }
        draw.stroke();
      }
    }
  }

  function drawPoints() {
    const start = movie.points[0];
    draw.lineCap = "round";
    for (let point = 0; point < start.length; point++) {
      const movedAt = (at) =>
        length(movie.points[at][point][0] - start[point][0], movie.points[at][point][1] - start[point][1]);
      for (let at = 1; at <= frame; at++) {
        const fresh = Math.max(0, 1 - (frame - at) / 10);
        draw.globalAlpha = 0.35 + 0.6 * fresh;
        draw.lineWidth = dot * (1.2 + 1.2 * fresh);
        draw.strokeStyle = colourOf(movedAt(at));
        draw.beginPath();
        draw.moveTo(...onScreen(movie.points[at - 1][point]));
        draw.lineTo(...onScreen(movie.points[at][point]));
        draw.stroke();
      }
      draw.globalAlpha = 1;
      draw.fillStyle = colourOf(movedAt(frame));
      draw.strokeStyle = "#000";
      draw.lineWidth = dot;
      draw.beginPath();
      draw.arc(...onScreen(movie.points[frame][point]), 4 * dot, 0, 2 * Math.PI);
      draw.fill();
      draw.stroke();
    }
  }

  function drawWall() {
    if (!movie.wall) return;
    for (const line of movie.wall) {
      const places = line.points[frame].map(onScreen);
      draw.globalAlpha = 1;
      draw.lineJoin = "round";
      for (const [style, thick] of [["#000", 4.5], [line.colour, 2.5]]) {
        draw.strokeStyle = style;
        draw.lineWidth = thick * dot;
        draw.beginPath();
        places.forEach((place, at) => (at ? draw.lineTo(...place) : draw.moveTo(...place)));
        draw.stroke();
      }
      if (!line.dots) continue;
      draw.fillStyle = line.colour;
      draw.strokeStyle = "#000";
      draw.lineWidth = dot;
      for (const place of places) {
        draw.beginPath();
        draw.arc(...place, 4.5 * dot, 0, 2 * Math.PI);
        draw.fill();
        draw.stroke();
      }
    }
  }

  const overlays = { wall: drawWall, points: drawPoints, mesh: drawMesh, arrows: drawArrows, none: () => {} };

  function show() {
    draw.globalAlpha = 1;
    draw.imageSmoothingQuality = "high";
    if (pictures[frame].complete) draw.drawImage(pictures[frame], 0, 0, screen.width, screen.height);
    else pictures[frame].decode().then(show);
    overlays[mode]();
    scrub.value = frame;
    play.textContent = playing ? "❚❚" : "▶";
    readout.textContent = `frame ${frame} · ${(movie.times[frame] / 1000).toFixed(2)} s · ` +
      `quality ${movie.quality[frame].toFixed(2)} · since frame ${movie.reference[frame]} · beat ${movie.beat[frame]}`;
    for (const button of modes) button.setAttribute("aria-pressed", button.dataset.mode === mode);
    for (const chart of charts) {
      const x = chart.first + frame * chart.step;
      chart.cursor.setAttribute("x1", x);
      chart.cursor.setAttribute("x2", x);
      chart.output.textContent = chart.values[frame];
    }
  }

  function resize() {
    dot = window.devicePixelRatio || 1;
    screen.width = Math.max(1, Math.round(screen.clientWidth * dot));
    screen.height = Math.max(1, Math.round((screen.width * shapeHigh) / shapeWide));
    across = screen.width / width;
    down = screen.height / height;
    show();
  }

  function go(to, pause) {
    frame = (to + count) % count;
    if (pause) playing = false;
    show();
  }

  let due = 0;
  function tick(now) {
    if (playing && now >= due && pictures[(frame + 1) % count].complete) {
      go(frame + 1, false);
      const period = frame > 0 ? movie.times[frame] - movie.times[frame - 1] : 400; // rest at the loop
      due = now + period / Number(speed.value);
    }
    requestAnimationFrame(tick);
  }

  play.addEventListener("click", () => { playing = !playing; show(); });
  scrub.addEventListener("input", () => go(Number(scrub.value), true));
  for (const button of modes) button.addEventListener("click", () => { mode = button.dataset.mode; show(); });
  for (const chart of charts) {
    const seek = (event) => {
      if (!event.buttons) return;
      const box = chart.svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * chart.svg.viewBox.baseVal.width;
      go(Math.max(0, Math.min(count - 1, Math.round((x - chart.first) / chart.step))), true);
    };
    chart.svg.addEventListener("pointerdown", seek);
    chart.svg.addEventListener("pointermove", seek);
  }
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, button")) return;
    if (event.key === " ") { playing = !playing; show(); event.preventDefault(); }
    if (event.key === "ArrowRight") go(frame + 1, true);
    if (event.key === "ArrowLeft") go(frame - 1, true);
  });

  const pictures = movie.frames.map((source) => Object.assign(new Image(), { src: source }));
  // The other pictures decode while the first frame shows. A frame that is not decoded yet is waited for.
  pictures[0].decode().then(() => {
    new ResizeObserver(resize).observe(screen.parentElement);
    // #frame=12&mode=mesh opens the page at that frame, paused: for links and for screenshots.
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (overlays[wanted.get("mode")]) mode = wanted.get("mode");
    if (wanted.has("frame")) go(Math.min(count - 1, Number(wanted.get("frame"))), true);
    resize();
    requestAnimationFrame(tick);
  });
})();
