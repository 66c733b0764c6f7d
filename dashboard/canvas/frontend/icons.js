/* Line icons on a 24 x 24 grid, drawn for this component. */

const ICONS = {
  previous: '<path d="M14.5 6 8.5 12l6 6"/>',
  next: '<path d="m9.5 6 6 6-6 6"/>',
  zoom_in: '<path d="M12 6v12M6 12h12"/>',
  zoom_out: '<path d="M6 12h12"/>',
  fit: '<path d="M5 9.5V5h4.5M14.5 5H19v4.5M19 14.5V19h-4.5M9.5 19H5v-4.5"/>',
  wipe: '<rect x="4" y="5.5" width="16" height="13" rx="2"/><path d="M12 3v18"/><path d="M4.6 14.5 12 7.5M6 18l6-5.5" stroke-width="1.3"/>',
  overlays: '<path d="M3 12s3.4-6 9-6 9 6 9 6-3.4 6-9 6-9-6-9-6Z"/><circle cx="12" cy="12" r="2.6"/>',
  overlays_off: '<path d="M3 12s3.4-6 9-6 9 6 9 6-3.4 6-9 6-9-6-9-6Z"/><path d="m5 19.5 14-15"/>',
  contrast: '<circle cx="12" cy="12" r="7.5"/><path d="M12 4.5a7.5 7.5 0 0 1 0 15Z" fill="currentColor"/>',
  layers: '<path d="m12 4 8.5 4.6L12 13.2 3.5 8.6 12 4Z"/><path d="m4 13 8 4.4 8-4.4"/>',
  grip: '<path d="m9 7.5-4.5 4.5L9 16.5M15 7.5l4.5 4.5-4.5 4.5"/>',
  download: '<path d="M12 4.5v10M7.8 10.6 12 14.8l4.2-4.2M5 19h14"/>',
};

function icon(name) {
  return `<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false">${ICONS[name]}</svg>`;
}
