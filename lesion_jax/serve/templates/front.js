'use strict';
(() => {
  const {most, each, all, seconds} = document.getElementById('script').dataset;
  const [form, drop, files, list, said, go] = ['form', 'drop', 'files', 'list', 'said', 'go'].map((id) => document.getElementById(id));
  const size = (bytes) => bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  let clock = 0;

  const problem = () => {
    const chosen = [...files.files];
    const large = chosen.find((file) => file.size > Number(each));
    if (chosen.length > Number(most)) return `These are ${chosen.length} photographs; a report takes ${most}.`;
    if (large) return `${large.name} has ${size(large.size)}, more than is taken.`;
    if (chosen.reduce((sum, file) => sum + file.size, 0) > Number(all)) return 'Together they are too large; take fewer.';
    return '';
  };

  const show = () => {
    list.replaceChildren(...[...files.files].map((file) => {
      const item = document.createElement('li');
      item.textContent = `${file.name}, ${size(file.size)}`;
      return item;
    }));
    files.setCustomValidity(problem());
    said.textContent = problem();
  };

  const rest = () => {
    clearInterval(clock);
    go.disabled = false;
    form.classList.remove('busy');
    show();
  };

  files.addEventListener('change', show);
  form.addEventListener('reset', () => setTimeout(rest));
  form.addEventListener('submit', () => {
    const start = Date.now(), number = files.files.length;
    const about = Math.max(1, Math.round(number * Number(seconds)));
    const tell = () => {
      said.textContent = `Working on ${number} ${number === 1 ? 'photograph' : 'photographs'}, about ${about} s; ` +
        `${Math.round((Date.now() - start) / 1000)} s so far.`;
    };
    go.disabled = true;
    form.classList.add('busy');
    tell();
    clock = setInterval(tell, 1000);
  });
  window.addEventListener('pageshow', rest);  // back from the report

  for (const name of ['dragover', 'dragleave', 'drop']) {
    window.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle('over', name === 'dragover');
    });
  }
  window.addEventListener('drop', (event) => {
    if (event.dataTransfer.files.length) {
      files.files = event.dataTransfer.files;
      show();
    }
  });
})();
