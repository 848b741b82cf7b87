// The page's state is its fragment, see lesion_jax/report/html.py; what a reader switches goes there too.
const root = document.documentElement;
const DATA = JSON.parse(document.getElementById('data').textContent);
const PHOTOS = DATA.photographs;
const byNumber = new Map(PHOTOS.map((photo) => [String(photo.n), photo]));
const SWITCHES = ['red', 'cross', 'plain', 'eye'];
const SLIDERS = ['fill', 'attention'];
const FILTERS = ['find', 'grade', 'lesion', 'quality', 'sort'];
const ADDRESSED = ['photo', 'lesions', 'view', 'only', ...SWITCHES, ...SLIDERS, ...FILTERS];
const KEYS = DATA.lesions.filter((key) => PHOTOS.some((photo) => photo.drawn?.includes(key))); // those that have outlines anywhere
const state = {photo: null, shown: new Set(KEYS), view: null, only: new Set(), blink: false};
for (const name of SWITCHES) state[name] = false;
for (const name of SLIDERS) state[name] = 0;
for (const name of FILTERS) state[name] = '';

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const percent = (text) => Math.min(100, Math.max(0, Number.parseInt(text, 10) || 0));
const openArticle = () => document.getElementById(`photo=${state.photo}`);

// To readers of screens, and for two seconds to the eye.
let saying = 0;
function say(text) {
  const said = document.getElementById('said');
  said.textContent = text;
  said.classList.toggle('shown', Boolean(text));
  clearTimeout(saying);
  saying = setTimeout(() => said.classList.remove('shown'), 2000);
}

// The article of a photograph; of a large page it is stored as text until it is asked for.
function articleOf(number) {
  const there = document.getElementById(`photo=${number}`);
  if (there) return there;
  const stored = document.querySelector(`script[data-stored="${number}"]`);
  if (!stored) return null;
  const made = new DOMParser().parseFromString(stored.textContent, 'text/html').querySelector('article');
  made.hidden = true;
  stored.before(document.adoptNode(made));
  return made;
}

function readView(text) {
  const view = (text || '').split(',').map(Number);
  return view.length === 3 && view.every(Number.isFinite) && view[2] > 0 ? view : null;
}

function readFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (!ADDRESSED.some((name) => given.has(name))) return;
  if (byNumber.get(given.get('photo'))?.pictured) state.photo = given.get('photo');
  state.shown = given.has('lesions') ? new Set(given.get('lesions').split(',')) : new Set(KEYS);
  state.only = new Set((given.get('only') || '').split(',').filter(Boolean));
  for (const name of SWITCHES) state[name] = given.get(name) === '1';
  for (const name of SLIDERS) state[name] = percent(given.get(name));
  for (const name of FILTERS) state[name] = given.get(name) || '';
  state.view = readView(given.get('view'));
}

function fragment(photo) {
  const parts = [`photo=${photo}`];
  const shown = KEYS.filter((key) => state.shown.has(key));
  if (shown.length < KEYS.length) parts.push(`lesions=${shown.join(',')}`);
  for (const name of SLIDERS) if (state[name]) parts.push(`${name}=${state[name]}`);
  for (const name of SWITCHES) if (state[name]) parts.push(`${name}=1`);
  for (const name of FILTERS) if (state[name]) parts.push(`${name}=${encodeURIComponent(state[name])}`);
  if (state.only.size) parts.push(`only=${[...state.only].join(',')}`);
  if (state.view) parts.push(`view=${state.view.map((value) => Math.round(value)).join(',')}`);
  return `#${parts.join('&')}`;
}

// Writes the state into the address, without a step of the history.
function settle() {
  if (state.photo) history.replaceState(null, '', fragment(state.photo));
}

// Shows the photograph that the state names, and its switches as they stand.
function showPhotograph() {
  const article = articleOf(state.photo);
  for (const other of all('#photographs > .photograph')) other.hidden = other !== article;
  if (!article) return;
  for (const key of DATA.lesions) root.classList.toggle(`hide-${key}`, !state.shown.has(key));
  root.classList.toggle('show-cross', state.cross);
  for (const input of all('input[data-lesion]', article)) input.checked = state.shown.has(input.dataset.lesion);
  for (const input of all('input[data-switch]', article)) input.checked = state[input.dataset.switch];
  for (const name of SLIDERS) {
    root.style.setProperty(`--${name}`, state[name] / 100);
    for (const input of all(`input[data-set="${name}"]`, article)) showSlider(input, state[name]);
  }
  markOpen();
  showPanes(article);
  showCuts(article);
  showAnswer(article);
}

function showSlider(input, value) {
  input.value = value;
  input.setAttribute('aria-valuetext', `${value} %`);
}

function changed() {
  showPhotograph();
  settle();
}

// Opens a photograph; the reader of a screen hears its title.
function go(number) {
  if (!byNumber.get(String(number))?.pictured) return;
  state.photo = String(number);
  state.view = null;
  changed();
  const title = document.getElementById(`title-${number}`);
  title.focus({preventScroll: true});
  const article = title.closest('article');
  if (article.getBoundingClientRect().top < 0 || innerWidth < 1000) article.scrollIntoView({block: 'start'});
}

// The next photograph of the list in a direction that fits; round the end.
function step(direction, fits = () => true) {
  const numbers = listed().filter((photo) => photo.pictured);
  const at = numbers.findIndex((photo) => String(photo.n) === state.photo);
  for (let count = 1; count <= numbers.length; count++) {
    const place = at < 0 ? (direction > 0 ? count - 1 : numbers.length - count) : at + direction * count;
    const found = numbers[((place % numbers.length) + numbers.length) % numbers.length];
    if (fits(found) && String(found.n) !== state.photo) return go(found.n);
  }
  say('There is no other one in the list.');
}

function toggleLesion(key) {
  if (!KEYS.includes(key)) {
    const known = PHOTOS.some((photo) => photo.evaluated?.includes(key));
    return say(known ? `${key} is outlined in no photograph.` : `${key} is not evaluated.`);
  }
  state.shown[state.shown.has(key) ? 'delete' : 'add'](key);
  changed();
  say(`${key} ${state.shown.has(key) ? 'shown' : 'hidden'}`);
}

// Takes all outlines away as long as a key or button is held, and long enough to be seen.
let blinked = 0;
function blink(on) {
  if (on && !state.blink) blinked = performance.now();
  const wait = on ? 0 : Math.max(0, 400 - (performance.now() - blinked));
  state.blink = on;
  setTimeout(() => root.classList.toggle('blink', state.blink), wait);
}

function toggle(name) {
  state[name] = !state[name];
  changed();
}

const SHORTCUTS = {
  ArrowRight: () => step(1), j: () => step(1), ArrowLeft: () => step(-1), k: () => step(-1),
  n: () => step(1, (photo) => photo.unsure || photo.referable),
  r: () => toggle('red'), q: () => toggle('cross'), s: () => toggle('plain'), b: () => toggle('eye'),
  '+': () => zoom(1.5), '=': () => zoom(1.5), '-': () => zoom(1 / 1.5), 0: () => zoom(0),
  g: () => openArticle()?.querySelector('[data-answer="grade"]')?.focus(),
  c: () => openArticle()?.querySelector('[data-answer="comment"]')?.focus(),
  '/': () => document.querySelector('[data-filter="find"]').focus(),
  '?': () => document.getElementById('help').showModal(),
};

// Where letters are letters; and where arrow keys and the space bar are the element's own.
const typing = (target) => target.closest('textarea, select, dialog, input[type="text"], input[type="search"]');
const isOwn = (key, target) => (key === ' ' ? target.closest('button, input, a, summary') : key.startsWith('Arrow') && target.closest('input'));

function pressed(event) {
  const {key, target} = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isOwn(key, target)) return;
  if (typing(target)) {
    if (key === 'Escape') target.blur();
    return;
  }
  const digit = /^(?:Digit|Numpad)([1-8])$/.exec(event.code);
  if (key === ' ') blink(true);
  else if (digit && event.shiftKey) turnVerdict(DATA.lesions[digit[1] - 1]);
  else if (digit) toggleLesion(DATA.lesions[digit[1] - 1]);
  else if (panned(key)) event.preventDefault();
  else if (SHORTCUTS[key]) SHORTCUTS[key]();
  else return;
  event.preventDefault();
}

function clicked(event) {
  const target = event.target.closest('a[data-number], button');
  if (!target) return;
  const {number, step: direction, zoom: times, all: every, verdict, key, save} = target.dataset;
  if (number && (event.ctrlKey || event.metaKey || event.shiftKey)) return; // a new tab or window
  if (number) event.preventDefault();
  if (direction) step(Number(direction));
  else if (number) go(number);
  if (times !== undefined) zoom(Number(times));
  if (every !== undefined) { state.shown = new Set(every === '1' ? KEYS : []); changed(); }
  if (verdict) setVerdict(key, verdict);
  if (save) saveAnswers(save);
  if ('ungrade' in target.dataset) setGrade('');
  if ('uncut' in target.dataset) clearCuts();
  if ('print' in target.dataset) print();
  if ('help' in target.dataset) document.getElementById('help').showModal();
}

function switched({target}) {
  const {lesion, switch: name, filter, only, answer} = target.dataset;
  if (lesion) { state.shown[target.checked ? 'add' : 'delete'](lesion); changed(); }
  if (name) { state[name] = target.checked; changed(); }
  if (filter && filter !== 'find') { state[filter] = target.value; refilter(); }
  if (only) { state.only[target.checked ? 'add' : 'delete'](only); refilter(); }
  if (answer === 'grade') setGrade(target.value);
}

function typed({target}) {
  const {set, cut, filter, answer} = target.dataset;
  if (set) { state[set] = percent(target.value); changed(); }
  if (cut) moveCut(target);
  if (filter === 'find') { state.find = target.value.trim(); refilter(); }
  if (answer === 'comment') setComment(target.value);
  if (target.id === 'reader') keepReader(target.value);
}

function moved() {
  const before = state.photo;
  readFragment();
  showFilters();
  applyFilters();
  showPhotograph();
  if (state.photo !== before) {
    const title = document.getElementById(`title-${state.photo}`);
    title.focus({preventScroll: true});
    title.scrollIntoView({block: 'start'});
  }
}

function start() {
  root.classList.add('scripted');
  state.photo = String(PHOTOS.find((photo) => photo.pictured)?.n ?? '') || null;
  readFragment();
  startAnswers();
  startList();
  showFilters();
  applyFilters();
  startViewer();
  startPrint();
  showPhotograph();
  document.addEventListener('keydown', pressed);
  // What a pointer has pressed is done: the space bar blinks then, and does not press it again. Keys' own clicks have no detail.
  document.addEventListener('click', (event) => event.detail && setTimeout(() => {
    if (document.activeElement?.matches('button, input[type="checkbox"], input[type="radio"]')) document.activeElement.blur();
  }));
  document.addEventListener('keyup', (event) => { if (event.key === ' ') blink(false); });
  document.addEventListener('click', clicked);
  document.addEventListener('change', switched);
  document.addEventListener('input', typed);
  document.querySelector('.filters')?.addEventListener('submit', (event) => event.preventDefault());
  addEventListener('hashchange', moved);
}
