/* Draw tiles; a tile that was there before keeps its element, so that nothing flickers. */

const FLAG =
  '<svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true">' +
  '<path d="M4 14V2h8l-2 3 2 3H4"/></svg>';

function makeTile(isClickable) {
  const tile = document.createElement(isClickable ? "button" : "div");
  tile.className = "tile";
  if (isClickable) tile.type = "button";
  const picture = document.createElement("img");
  const caption = document.createElement("span");
  caption.className = "caption";
  tile.append(picture, caption);
  return tile;
}

function fill(tile, content, chosen) {
  const [picture, caption] = tile.children;
  if (picture.src !== content.src) picture.src = content.src;
  picture.alt = content.hint;
  tile.title = content.hint;
  caption.textContent = content.caption;
  tile.classList.toggle("is-chosen", content.id === chosen);
  tile.classList.toggle("is-marked", content.is_marked);
  if (tile.tagName === "BUTTON") tile.setAttribute("aria-pressed", String(content.id === chosen));
  tile.querySelector(".flag")?.remove();
  if (content.is_marked) {
    const flag = document.createElement("span");
    flag.className = "flag";
    flag.innerHTML = FLAG;
    tile.append(flag);
  }
}

/* Bring what a click opens further down the page into sight, once it is drawn. */
function reveal(key, triesLeft = 40) {
  const place = document.querySelector(`.st-key-${key}`);
  if (!place) {
    if (triesLeft > 0) setTimeout(() => reveal(key, triesLeft - 1), 150);
    return;
  }
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const scroll = () => place.scrollIntoView({ block: "nearest", behavior: isCalm ? "auto" : "smooth" });
  scroll();
  setTimeout(scroll, 700); // it grows while its pictures load
}

export default function ({ data: [data], parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".tiles");
  root.setAttribute("aria-label", data.label);
  const kind = data.is_clickable ? "BUTTON" : "DIV";
  while (root.children.length > data.tiles.length) root.lastChild.remove();
  data.tiles.forEach((content, place) => {
    let tile = root.children[place];
    if (!tile || tile.tagName !== kind) {
      const fresh = makeTile(data.is_clickable);
      tile ? tile.replaceWith(fresh) : root.append(fresh);
      tile = fresh;
    }
    fill(tile, content, data.chosen);
    tile.onclick = data.is_clickable
      ? () => {
          setTriggerValue("picked", { id: content.id });
          if (data.opens && content.id !== data.chosen) reveal(data.opens);
        }
      : null;
  });
}
