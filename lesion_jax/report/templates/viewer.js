// The picture: which square of it is looked at, what lies over it and beside it.
const MOST = 24; // times closer
const whole = (view) => view.dataset.whole.split(' ').map(Number);
const mainView = () => openArticle()?.querySelector('.view:not(.second)');

// A second view of the same picture, or of another eye: as much of it is shown as of the first, in proportion.
function look() {
  const view = mainView();
  if (!view) return;
  const [left, top, side] = whole(view);
  const [x, y, width] = state.view || whole(view);
  for (const pane of all('.view', openArticle())) {
    const [otherLeft, otherTop, other] = whole(pane);
    const scale = other / side;
    const box = pane === view ? [x, y, width] : [otherLeft + (x - left) * scale, otherTop + (y - top) * scale, width * scale];
    pane.querySelector('svg').setAttribute('viewBox', `${box[0]} ${box[1]} ${box[2]} ${box[2]}`);
    pane.classList.toggle('closer', Boolean(state.view));
  }
}

// Looks at a square whose point (across, down), in parts of the square, stays where it is, then moved by (x, y).
function turn(times, across = 0.5, down = 0.5, x = 0, y = 0) {
  const view = mainView();
  if (!view) return;
  const [left, top, most] = whole(view);
  const [oldLeft, oldTop, old] = state.view || whole(view);
  const side = times === 0 ? most : Math.min(most, Math.max(most / MOST, old / times));
  const keep = (value, low) => Math.min(low + most - side, Math.max(low, value));
  state.view = side >= most ? null
    : [keep(oldLeft + across * (old - side) - x * side, left), keep(oldTop + down * (old - side) - y * side, top), side];
  look();
}

function zoom(times) {
  turn(times);
  settle();
}

// Names in a copy get an ending, so that no two elements have one name.
function renamed(view, ending) {
  for (const item of all('[id]', view)) item.id += ending;
  for (const item of all('use', view)) item.setAttribute('href', item.getAttribute('href') + ending);
  for (const item of all('[clip-path]', view)) item.setAttribute('clip-path', item.getAttribute('clip-path').replace(')', `${ending})`));
  return view;
}

function secondView(view, label, bare) {
  const copy = renamed(view.cloneNode(true), '-2');
  copy.classList.add('second');
  copy.querySelector('svg').setAttribute('aria-label', label);
  copy.setAttribute('aria-label', `${label}. It moves with the first.`);
  for (const item of all(bare ? 'g.lesion, image.map, image.attention, .pane-title' : '.pane-title', copy)) item.remove();
  const title = Object.assign(document.createElement('span'), {className: 'pane-title', textContent: label});
  copy.append(title);
  return copy;
}

const eyeName = (photo) => (photo.eye ? `${photo.eye} eye (${photo.eye === 'right' ? 'OD' : 'OS'})` : photo.file);

// The other eye of the same patient, or another photograph of that patient.
function fellowOf(photo) {
  if (!photo || photo.group === null) return null;
  const others = PHOTOS.filter((other) => other.pictured && other !== photo && other.group === photo.group);
  return others.find((other) => other.eye && other.eye !== photo.eye) || others[0] || null;
}

function showPanes(article) {
  const panes = article.querySelector('.panes');
  if (!panes) return;
  const view = panes.querySelector('.view:not(.second)');
  for (const pane of all('.second', panes)) pane.remove();
  for (const title of all('.pane-title', view)) title.remove();
  const photo = byNumber.get(state.photo);
  const fellow = state.eye ? fellowOf(photo) : null;
  const other = fellow && articleOf(fellow.n)?.querySelector('.view:not(.second)');
  if (other) {
    const copy = secondView(other, `Other: ${eyeName(fellow)}`, false);
    // The right eye is on the left, as one looks at a patient.
    if (fellow.eye === 'right') panes.prepend(copy); else panes.append(copy);
    view.append(Object.assign(document.createElement('span'), {className: 'pane-title', textContent: eyeName(photo)}));
  }
  if (state.plain) panes.append(secondView(view, 'Without outlines', true));
  article.classList.toggle('double', panes.childElementCount > 1);
  for (const image of all('image.photo', panes)) {
    if (state.red) image.setAttribute('filter', 'url(#red-free)'); else image.removeAttribute('filter');
  }
  look();
}

// Thresholds that are tried on the maps: by lesion, 1 to 255 of 255; null: none.
const cuts = new Map();
const hundredths = (value) => (value / 255).toFixed(2);

function moveCut(input) {
  cuts.set(input.dataset.cut, Number(input.value));
  showCuts(openArticle());
}

function clearCuts() {
  cuts.clear();
  showCuts(openArticle());
}

function showCuts(article) {
  for (const input of all('input[data-cut]', article)) {
    const key = input.dataset.cut;
    const cut = cuts.get(key);
    input.value = cut ?? input.dataset.start;
    const counts = input.dataset.counts.split(' ').map(Number);
    const sum = (from) => counts.slice(from).reduce((total, value) => total + value, 0);
    const text = `from ${hundredths(input.value)}: ${(100 * sum(Number(input.value)) / Math.max(1, sum(0))).toPrecision(2)} % of the field`;
    input.setAttribute('aria-valuetext', text);
    input.nextElementSibling.textContent = text + (cut === undefined ? ` (${input.dataset.said})` : '');
    for (const image of all(`image[data-map="${key}"]`, article)) {
      image.classList.toggle('tried', cut !== undefined);
      image.setAttribute('filter', `url(#cut-${key})`);
    }
    const values = Array.from({length: 256}, (_, value) => (value >= (cut ?? 256) ? 0.6 : 0)).join(' ');
    document.querySelector(`#cut-${key} feFuncA`).setAttribute('tableValues', values);
  }
}

// Keys, wheel and fingers, of all views together: they are made as they are needed.
const fingers = new Map();

function placeIn(view, event) {
  const box = view.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

// Moves what is enlarged; says whether the key does that.
function panned(key) {
  const moves = {ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
  if (!state.view || !(key in moves)) return false;
  turn(1, 0.5, 0.5, ...moves[key].map((part) => part / 8));
  settle();
  return true;
}

let settling = 0;
function wheeled(event) {
  const view = event.target.closest?.('.view');
  if (!view || (!state.view && event.deltaY > 0 && !event.ctrlKey)) return; // out of what is whole: the page scrolls
  event.preventDefault();
  turn(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 30 : 1) / 400), ...placeIn(view, event));
  clearTimeout(settling);
  settling = setTimeout(settle, 200);
}

function touched(event) {
  const view = event.target.closest?.('.view');
  if (!view) return;
  fingers.set(event.pointerId, placeIn(view, event));
  if (state.view || fingers.size > 1) view.setPointerCapture(event.pointerId);
}

function dragged(event) {
  const before = fingers.get(event.pointerId);
  const view = event.target.closest?.('.view');
  if (!before || !view) return;
  const now = placeIn(view, event);
  if (fingers.size === 2) {
    const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
    const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    turn(apart(now) / Math.max(apart(before), 0.01), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  } else if (state.view) {
    turn(1, 0.5, 0.5, now[0] - before[0], now[1] - before[1]);
  }
  fingers.set(event.pointerId, now);
}

function startViewer() {
  const place = document.getElementById('photographs');
  place.addEventListener('dblclick', (event) => {
    const view = event.target.closest('.view');
    if (view) { turn(2, ...placeIn(view, event)); settle(); }
  });
  place.addEventListener('wheel', wheeled, {passive: false});
  place.addEventListener('pointerdown', touched);
  place.addEventListener('pointermove', dragged);
  for (const name of ['pointerup', 'pointercancel']) {
    place.addEventListener(name, (event) => { if (fingers.delete(event.pointerId)) settle(); });
  }
  // With two fingers the picture is enlarged, and not the page; with one the page scrolls, unless the picture is enlarged.
  place.addEventListener('touchmove', (event) => {
    if (event.target.closest('.view') && (event.touches.length > 1 || state.view)) event.preventDefault();
  }, {passive: false});
  place.addEventListener('pointerdown', ({target}) => { if (target.matches('[data-blink]')) blink(true); });
  for (const name of ['pointerup', 'pointercancel', 'pointerleave']) place.addEventListener(name, () => { if (state.blink) blink(false); });
}
