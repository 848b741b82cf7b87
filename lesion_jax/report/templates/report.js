'use strict';

// The page's state is its fragment, see lesion_jax/report/html.py; what a reader switches goes there too.
(() => {
  const root = document.documentElement;
  const articles = new Map([...document.querySelectorAll('.photograph')].map((article) => [article.dataset.number, article]));
  const keys = [...new Set([...document.querySelectorAll('input[data-lesion]')].map((input) => input.dataset.lesion))];
  const MOST = 24; // times closer
  const state = {photo: articles.keys().next().value, shown: new Set(keys), fill: 0, attention: 0, cross: false, view: null};

  const percent = (text) => Math.min(100, Math.max(0, Number.parseInt(text, 10) || 0));

  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    if (!['photo', 'lesions', 'fill', 'attention', 'cross', 'view'].some((name) => given.has(name))) return;
    if (articles.has(given.get('photo'))) state.photo = given.get('photo');
    state.shown = given.has('lesions') ? new Set(given.get('lesions').split(',')) : new Set(keys);
    state.fill = percent(given.get('fill'));
    state.attention = percent(given.get('attention'));
    state.cross = given.get('cross') === '1';
    const view = (given.get('view') || '').split(',').map(Number);
    state.view = view.length === 3 && view.every(Number.isFinite) && view[2] > 0 ? view : null;
  }

  function fragment(photo) {
    const parts = [`photo=${photo}`];
    const shown = keys.filter((key) => state.shown.has(key));
    if (shown.length < keys.length) parts.push(`lesions=${shown.join(',')}`);
    for (const name of ['fill', 'attention']) if (state[name]) parts.push(`${name}=${state[name]}`);
    if (state.cross) parts.push('cross=1');
    if (state.view && photo === state.photo) parts.push(`view=${state.view.map((value) => Math.round(value)).join(',')}`);
    return `#${parts.join('&')}`;
  }

  function show() {
    for (const [number, article] of articles) article.hidden = number !== state.photo;
    for (const key of keys) root.classList.toggle(`hide-${key}`, !state.shown.has(key));
    root.classList.toggle('show-cross', state.cross);
    for (const input of document.querySelectorAll('input[data-lesion]')) input.checked = state.shown.has(input.dataset.lesion);
    for (const input of document.querySelectorAll('input[data-cross]')) input.checked = state.cross;
    for (const name of ['fill', 'attention']) {
      root.style.setProperty(`--${name}`, state[name] / 100);
      for (const input of document.querySelectorAll(`input[data-set="${name}"]`)) {
        input.value = state[name];
        input.setAttribute('aria-valuetext', `${state[name]} %`);
      }
    }
    for (const row of document.querySelectorAll('.overview tbody tr')) {
      const link = row.querySelector('a');
      row.classList.toggle('open', Boolean(link) && link.dataset.number === state.photo);
    }
    // Links keep what is switched.
    for (const link of document.querySelectorAll('a[data-number]')) link.setAttribute('href', fragment(link.dataset.number));
    look();
  }

  function changed() {
    show();
    if (state.photo) history.replaceState(null, '', fragment(state.photo));
  }

  // The square of the photograph that is looked at, as an SVG viewBox.
  const open = () => articles.get(state.photo)?.querySelector('.view');
  const whole = (view) => view.dataset.whole.split(' ').map(Number);

  function look() {
    const view = open();
    if (!view) return;
    const [left, top, side] = state.view || whole(view);
    view.querySelector('svg').setAttribute('viewBox', `${left} ${top} ${side} ${side}`);
    view.classList.toggle('closer', Boolean(state.view));
  }

  // Looks at a square of `side` whose point (across, down), in parts of the square, stays where it is, then moved by (x, y).
  function turn(times, across = 0.5, down = 0.5, x = 0, y = 0) {
    const view = open();
    if (!view) return;
    const [left, top, all] = whole(view);
    const [oldLeft, oldTop, old] = state.view || whole(view);
    const side = times === 0 ? all : Math.min(all, Math.max(all / MOST, old / times));
    const keep = (value, low) => Math.min(low + all - side, Math.max(low, value));
    state.view = side >= all ? null
      : [keep(oldLeft + across * (old - side) - x * side, left), keep(oldTop + down * (old - side) - y * side, top), side];
    look();
  }

  const settle = () => state.photo && history.replaceState(null, '', fragment(state.photo));

  addEventListener('hashchange', () => {
    const before = state.photo;
    read();
    show();
    if (state.photo !== before) {
      const title = document.getElementById(`title-${state.photo}`);
      title.focus({preventScroll: true});
      title.scrollIntoView({block: 'start'});
    }
  });

  document.addEventListener('change', ({target}) => {
    const {lesion} = target.dataset;
    if (lesion) state.shown[target.checked ? 'add' : 'delete'](lesion);
    if ('cross' in target.dataset) state.cross = target.checked;
    changed();
  });
  document.addEventListener('input', ({target}) => {
    if (!target.dataset.set) return;
    state[target.dataset.set] = percent(target.value);
    changed();
  });
  document.addEventListener('click', ({target}) => {
    const {zoom, all} = target.dataset;
    if (zoom !== undefined) { turn(Number(zoom)); settle(); }
    if (all !== undefined) { state.shown = new Set(all === '1' ? keys : []); changed(); }
  });

  for (const view of document.querySelectorAll('.view')) {
    const fingers = new Map();
    const place = (event) => {
      const box = view.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    view.addEventListener('keydown', (event) => {
      const moves = {ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
      const zooms = {'+': 1.5, '=': 1.5, '-': 1 / 1.5, 0: 0};
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key in zooms) turn(zooms[event.key]);
      else if (event.key in moves && state.view) turn(1, 0.5, 0.5, ...moves[event.key].map((step) => step / 8));
      else return;
      event.preventDefault();
      settle();
    });
    view.addEventListener('dblclick', (event) => { turn(2, ...place(event)); settle(); });
    view.addEventListener('wheel', (event) => {
      // Alone the wheel scrolls the page; with Ctrl, as a trackpad's pinch sends it, or once the photograph is chosen, it zooms.
      if (!event.ctrlKey && document.activeElement !== view) return;
      event.preventDefault();
      turn(Math.exp(-event.deltaY / 400), ...place(event));
      settle();
    }, {passive: false});
    view.addEventListener('pointerdown', (event) => {
      fingers.set(event.pointerId, place(event));
      if (state.view || fingers.size > 1) view.setPointerCapture(event.pointerId);
    });
    view.addEventListener('pointermove', (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = place(event);
      if (fingers.size === 2) {
        const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
        const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
        turn(apart(now) / Math.max(apart(before), 0.01), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      } else if (state.view) {
        turn(1, 0.5, 0.5, now[0] - before[0], now[1] - before[1]);
      }
      fingers.set(event.pointerId, now);
    });
    for (const name of ['pointerup', 'pointercancel']) {
      view.addEventListener(name, (event) => { if (fingers.delete(event.pointerId)) settle(); });
    }
  }

  addEventListener('beforeprint', () => {
    for (const view of document.querySelectorAll('.view')) view.querySelector('svg').setAttribute('viewBox', `${view.dataset.whole}`);
  });
  addEventListener('afterprint', look);

  read();
  show();
})();
