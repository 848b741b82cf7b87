// What the reader answers. It stays in this browser, by the photograph and not by the page, until it is saved as a file.
const SHELF = 'lesion_jax reading ';
const READER = 'lesion_jax reader';
const FORMULA = /^[=+\-@\t\r]/;
const answers = new Map();
let shelf = null;

const blank = () => ({grade: '', comment: '', lesions: {}});
const answerOf = (photo) => answers.get(photo.sha) || blank();
const isEmpty = (answer) => !answer.grade && !answer.comment && !Object.keys(answer.lesions).length;
const isRead = (photo) => Boolean(photo.sha && answers.has(photo.sha));

function findShelf() {
  try {
    localStorage.setItem(`${SHELF}?`, '');
    localStorage.removeItem(`${SHELF}?`);
    return localStorage;
  } catch {
    return null;
  }
}

// Takes from the shelf what has the form of an answer.
function readAnswer(text) {
  let found;
  try { found = JSON.parse(text); } catch { return null; }
  if (!found || typeof found !== 'object') return null;
  const lesions = Object.entries(found.lesions ?? {}).filter(([key, value]) => DATA.lesions.includes(key) && ['accepted', 'rejected'].includes(value));
  const grade = /^([0-4]|ungradable)$/.test(found.grade) ? found.grade : '';
  return {grade, comment: String(found.comment ?? '').slice(0, 2000), lesions: Object.fromEntries(lesions)};
}

// Another tab of this browser may have answered since: what lies on the shelf is newer than what this one remembers.
function refresh(photo) {
  if (!shelf || !photo?.sha) return;
  const answer = readAnswer(shelf.getItem(SHELF + photo.sha));
  if (answer && !isEmpty(answer)) answers.set(photo.sha, answer); else answers.delete(photo.sha);
}

function latest() {
  const photo = byNumber.get(state.photo);
  refresh(photo);
  return answerOf(photo);
}

function keep(answer) {
  const photo = byNumber.get(state.photo);
  if (isEmpty(answer)) answers.delete(photo.sha); else answers.set(photo.sha, answer);
  try {
    if (isEmpty(answer)) shelf?.removeItem(SHELF + photo.sha); else shelf?.setItem(SHELF + photo.sha, JSON.stringify(answer));
  } catch {
    shelf = null; // it is full
  }
  showAnswer(openArticle());
  showKept();
}

const change = (changes) => keep({...latest(), ...changes});
const setGrade = (grade) => change({grade});
const setComment = (comment) => change({comment});

function setVerdict(key, value) {
  const {[key]: before, ...others} = latest().lesions;
  change({lesions: before === value || !value ? others : {...others, [key]: value}});
}

function turnVerdict(key) {
  const photo = byNumber.get(state.photo);
  if (!photo?.evaluated.includes(key)) return say(`${key} is not evaluated.`);
  const now = latest().lesions[key];
  setVerdict(key, {undefined: 'accepted', accepted: 'rejected', rejected: ''}[now]);
  say(`${key}: ${{accepted: 'right', rejected: 'wrong', undefined: 'no answer'}[answerOf(photo).lesions[key]]}`);
}

const graded = (grade) => (grade === 'ungradable' ? 'not gradable' : grade && DATA.grades[grade]);

// The answer in words, for paper.
function inWords(answer) {
  if (isEmpty(answer)) return '';
  const said = (value) => Object.keys(answer.lesions).filter((key) => answer.lesions[key] === value).join(', ');
  return ['Your reading:', graded(answer.grade) || 'no grade', said('accepted') && `right: ${said('accepted')}`,
          said('rejected') && `wrong: ${said('rejected')}`, answer.comment].filter(Boolean).join(' · ').replace(': ·', ':');
}

function showAnswer(article) {
  const photo = byNumber.get(article?.dataset.number);
  if (!photo) return;
  const answer = answerOf(photo);
  for (const input of all('[data-answer="grade"]', article)) input.checked = input.value === answer.grade;
  const comment = article.querySelector('[data-answer="comment"]');
  if (comment && comment.value !== answer.comment) comment.value = answer.comment;
  for (const button of all('[data-verdict]', article)) {
    button.setAttribute('aria-pressed', String(answer.lesions[button.dataset.key] === button.dataset.verdict));
  }
  const words = article.querySelector('.read');
  if (words) { words.textContent = inWords(answer); words.hidden = isEmpty(answer); }
  for (const other of PHOTOS) if (other.sha === photo.sha) showMark(other);
}

function showMark(photo) {
  const mark = document.querySelector(`[data-answered="${photo.n}"]`);
  if (mark) mark.textContent = isRead(photo) ? `✓ ${graded(answerOf(photo).grade) || 'read'}` : '';
}

function showKept() {
  const count = PHOTOS.filter(isRead).length;
  document.getElementById('kept').textContent = `${count} of ${PHOTOS.length} photographs read. `
    + (shelf ? 'Kept in this browser alone: save a file to hand it on.' : 'This browser keeps nothing: save a file before you leave.');
}

function keepReader(name) {
  try { shelf?.setItem(READER, name); } catch { shelf = null; }
}

const reader = () => document.getElementById('reader').value.trim() || 'reader';

// What a spreadsheet would take for a formula has an apostrophe before it, as in results.csv.
function cell(value) {
  const text = String(value ?? '').replace(/\s+/g, ' ').trim();
  const inert = FORMULA.test(text) ? `'${text}` : text;
  return /[",;']/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}

function asTable(read) {
  const header = ['file', 'grade', 'gradable', 'comment', ...DATA.lesions.map((key) => `${key} answer`), 'reader', 'patient', 'eye', 'predicted'];
  const rows = read.map((photo) => {
    const answer = answerOf(photo);
    const gradable = answer.grade === 'ungradable' ? 'no' : answer.grade ? 'yes' : '';
    return [photo.file, gradable === 'yes' ? answer.grade : '', gradable, answer.comment, ...DATA.lesions.map((key) => answer.lesions[key]),
            reader(), photo.patient, photo.eye, DATA.grades[photo.grade]];
  });
  return [header, ...rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
}

// The outer rings of an outline, points [x, y] in the photograph's pixels; holes run the other way.
function ringsOf(path) {
  const rings = [];
  for (const [, start, steps] of path.matchAll(/M([^lz]*)l([^z]*)z/g)) {
    const numbers = `${start} ${steps}`.match(/-?[\d.]+/g).map(Number);
    const points = [];
    for (let at = 0, x = 0, y = 0; at + 1 < numbers.length; at += 2) points.push([x += numbers[at], y += numbers[at + 1]]);
    const twice = points.reduce((sum, [x, y], at) => {
      const [nextX, nextY] = points[(at + 1) % points.length];
      return sum + x * nextY - y * nextX;
    }, 0);
    if (points.length > 2 && twice > 0) rings.push(points);
  }
  return rings;
}

function polygons(photo, key) {
  const path = articleOf(photo.n)?.querySelector(`.view:not(.second) g[data-lesion="${key}"] path`)?.getAttribute('d') || '';
  const part = (value, size) => Math.round(1e6 * Math.min(1, Math.max(0, value / size))) / 1e4; // per cent
  return ringsOf(path).map((ring, number) => ({
    id: `${key}${number}`, from_name: 'polygon', to_name: 'photograph', type: 'polygonlabels', image_rotation: 0,
    original_width: photo.width, original_height: photo.height,
    value: {points: ring.map(([x, y]) => [part(x, photo.width), part(y, photo.height)]), closed: true, polygonlabels: [key]},
  }));
}

// The form of Label Studio's export, which `lesion-jax compare` and `lesion-jax consensus` read: the grade, and the outlines that were accepted.
function asTask(photo) {
  const answer = answerOf(photo);
  const named = {to_name: 'photograph'};
  const result = DATA.lesions.filter((key) => answer.lesions[key] === 'accepted').flatMap((key) => polygons(photo, key));
  if (graded(answer.grade) && answer.grade !== 'ungradable') {
    result.push({id: 'grade', from_name: 'grade', ...named, type: 'choices', value: {choices: [DATA.grades[answer.grade]]}});
  }
  if (answer.comment) result.push({id: 'comment', from_name: 'comment', ...named, type: 'textarea', value: {text: [answer.comment]}});
  const data = {image: photo.file.replaceAll('%', '%25'), patient: photo.patient, eye: photo.eye, gradable: answer.grade !== 'ungradable', lesions: answer.lesions};
  return {id: photo.n, data, annotations: [{id: photo.n, completed_by: reader(), result}]};
}

function saveAnswers(form) {
  PHOTOS.forEach(refresh);
  const read = PHOTOS.filter(isRead);
  if (!read.length) return say('Nothing is answered yet.');
  const text = form === 'csv' ? asTable(read) : `${JSON.stringify(read.map(asTask), null, 1)}\n`;
  const address = URL.createObjectURL(new Blob([text], {type: form === 'csv' ? 'text/csv' : 'application/json'}));
  Object.assign(document.createElement('a'), {href: address, download: `readings.${form}`}).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
  say(`Saved ${read.length} readings.`);
}

function startAnswers() {
  shelf = findShelf();
  document.getElementById('reader').value = shelf?.getItem(READER) || '';
  PHOTOS.forEach(refresh);
  PHOTOS.filter(isRead).forEach(showMark);
  showKept();
  addEventListener('storage', ({key}) => {  // of another tab; null: all of it was emptied
    const photos = PHOTOS.filter((photo) => key === null || key === SHELF + photo.sha);
    if (!photos.length) return;
    photos.forEach(refresh);
    photos.forEach(showMark);
    showAnswer(openArticle());
    showKept();
  });
  addEventListener('beforeunload', (event) => { if (!shelf && answers.size) event.preventDefault(); });
}
