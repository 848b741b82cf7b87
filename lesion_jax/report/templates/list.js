// The list: what of it is shown, in which order.
let order = PHOTOS;
const items = new Map(all('#list > .item').map((item) => [item.dataset.item, item]));

const FITS = {
  referable: (photo) => photo.referable, unsure: (photo) => photo.unsure, disagrees: (photo) => photo.disagrees,
  look: (photo) => photo.look, open: (photo) => !isRead(photo),
};

function fitsGrade(photo) {
  if (!state.grade) return true;
  if (photo.grade === null || photo.grade === undefined) return false;
  return state.grade === '2+' ? photo.grade >= 2 : photo.grade === Number(state.grade);
}

function fitsLesion(photo) {
  if (!state.lesion) return true;
  return state.lesion === 'none' ? photo.present?.length === 0 : Boolean(photo.present?.includes(state.lesion));
}

function fitsQuality(photo) {
  const reasons = photo.quality;
  if (!state.quality) return true;
  if (!reasons) return false;
  if (state.quality === 'good') return reasons.length === 0;
  return state.quality === 'bad' ? reasons.length > 0 : reasons.includes(state.quality);
}

function fitsWords(photo) {
  const words = state.find.toLowerCase();
  return !words || photo.file.toLowerCase().includes(words) || photo.patient.toLowerCase().includes(words);
}

const fits = (photo) => fitsGrade(photo) && fitsLesion(photo) && fitsQuality(photo) && fitsWords(photo)
  && [...state.only].every((name) => FITS[name]?.(photo));

// Of two photographs that are alike in what is sorted by, the first of the page is first.
const compareText = new Intl.Collator('en', {numeric: true}).compare;
const ORDERS = {
  file: (a, b) => compareText(a.file, b.file),
  patient: (a, b) => !a.patient - !b.patient || compareText(a.patient, b.patient) || compareText(b.eye, a.eye),
  grade: (a, b) => (b.grade ?? -1) - (a.grade ?? -1) || (b.probability ?? 0) - (a.probability ?? 0),
  sure: (a, b) => (a.probability ?? 2) - (b.probability ?? 2),
  area: (a, b) => (b.area ?? -1) - (a.area ?? -1),
};

const listed = () => order.filter((photo) => !photo.hidden);

function applyFilters() {
  const sorted = [...PHOTOS].sort((a, b) => ORDERS[state.sort]?.(a, b) || a.n - b.n);
  const moves = sorted.some((photo, place) => photo !== order[place]);
  order = sorted;
  let count = 0;
  for (const photo of order) {
    photo.hidden = !fits(photo);
    count += !photo.hidden;
    items.get(String(photo.n)).hidden = photo.hidden;
  }
  if (moves) document.getElementById('list').append(...order.map((photo) => items.get(String(photo.n))));
  document.getElementById('listed').textContent = count === PHOTOS.length ? '' : `${count} of ${PHOTOS.length} photographs fit`;
}

// What a reader chose: the list, and its first photograph where the open one is no longer in it.
function refilter() {
  applyFilters();
  const shown = listed().filter((photo) => photo.pictured);
  if (shown.length && !shown.some((photo) => String(photo.n) === state.photo)) {
    state.photo = String(shown[0].n);
    state.view = null;
  }
  changed();
}

function showFilters() {
  for (const input of all('[data-filter]')) input.value = state[input.dataset.filter];
  for (const input of all('[data-only]')) input.checked = state.only.has(input.dataset.only);
}

let marked = null;
function markOpen() {
  marked?.classList.remove('open');
  marked?.querySelector('a')?.removeAttribute('aria-current');
  marked = items.get(state.photo);
  if (!marked) return;
  marked.classList.add('open');
  marked.querySelector('a').setAttribute('aria-current', 'true');
  const box = document.getElementById('overview');
  const [seen, item] = [box.getBoundingClientRect(), marked.getBoundingClientRect()];
  if (item.top < seen.top || item.bottom > seen.bottom) box.scrollTop += item.top - seen.top - seen.height / 3;
}

// Thumbnails of a large page load as they come near.
function startList() {
  const waiting = all('#list img[data-src]');
  if (!waiting.length) return;
  const watch = new IntersectionObserver((seen) => {
    for (const {isIntersecting, target} of seen) {
      if (!isIntersecting) continue;
      target.src = target.dataset.src;
      target.removeAttribute('data-src');
      watch.unobserve(target);
    }
  }, {root: document.getElementById('overview'), rootMargin: '600px'});
  for (const image of waiting) watch.observe(image);
}
