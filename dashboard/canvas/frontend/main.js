/* What Streamlit calls: once when the element appears, and again with the data of every rerun. */

const viewers = new WeakMap(); // shadow root -> viewer

function viewerFor({ layout, stamp }) {
  if (layout === "orthogonal") return PlanesViewer;
  return stamp ? ShelfViewer : Viewer;
}

export default function ({ data: [data], parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".canvas-root");
  let viewer = viewers.get(parentElement);
  if (!viewer || viewer.root !== root) {
    viewer?.stopListening?.();
    viewer = new (viewerFor(data.options))(root);
    viewers.set(parentElement, viewer);
  }
  const call = (viewer.calls += 1);
  viewer.update(data, (event) => setTriggerValue("event", event));
  return () => {
    if (viewer.calls !== call) return; // Streamlit also ends a call that a newer one overtook
    viewer.turn += 1; // arrays that are still on their way have no one to show them
    viewer.stopListening?.();
    viewers.delete(parentElement);
  };
}
