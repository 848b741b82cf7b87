// On paper: a sheet a patient, of the photographs that the list shows.
let places = null;

// Photographs by patient, in the order of the list; one of nobody's is alone.
function byPatient() {
  const groups = new Map();
  for (const photo of listed().filter((each) => each.pictured)) {
    const owner = photo.group === null ? `photograph ${photo.n}` : photo.group;
    groups.set(owner, [...(groups.get(owner) || []), photo]);
  }
  const side = (photo) => ({right: 0, left: 1}[photo.eye] ?? 2);
  return [...groups.values()].map((group) => group.sort((a, b) => side(a) - side(b)));
}

function sheetOf(group) {
  const sheet = document.createElement('section');
  sheet.className = `sheet of-${group.length > 2 ? 'many' : group.length}`;
  const {patient} = group[0];
  if (patient) sheet.append(Object.assign(document.createElement('h2'), {textContent: `Patient ${patient}`}));
  for (const photo of group) {
    const article = articleOf(photo.n);
    article.querySelector('h2').dataset.eye = photo.eye ? eyeName(photo) : '';
    showAnswer(article);
    sheet.append(article);
  }
  // Which network said it, and when: a sheet may leave the others.
  const {textContent} = document.querySelector('.facts');
  sheet.append(Object.assign(document.createElement('p'), {className: 'facts small', textContent}));
  return sheet;
}

function beforePrint() {
  if (places) return;
  const sheets = byPatient().map(sheetOf);
  places = sheets;
  root.classList.add('printing');
  const view = mainView();
  if (view) for (const pane of all('.view', openArticle())) pane.querySelector('svg').setAttribute('viewBox', pane.dataset.whole);
  document.getElementById('photographs').append(...sheets);
}

function afterPrint() {
  if (!places) return;
  const articles = places.flatMap((sheet) => all('article', sheet)).sort((a, b) => a.dataset.number - b.dataset.number);
  document.getElementById('photographs').append(...articles);
  for (const sheet of places) sheet.remove();
  places = null;
  root.classList.remove('printing');
  showPhotograph();
}

function startPrint() {
  addEventListener('beforeprint', beforePrint);
  addEventListener('afterprint', afterPrint);
}
