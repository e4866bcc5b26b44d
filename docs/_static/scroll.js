// What scrolls sideways in its own box is reached by the Tab key, and scrolled by arrows.
function reach() {
  for (const box of document.querySelectorAll(".bd-article *")) {
    if (box.scrollWidth <= box.clientWidth) {
      if (box.dataset.reached) { box.removeAttribute("tabindex"); delete box.dataset.reached; }
    } else if (/auto|scroll/.test(getComputedStyle(box).overflowX)) {
      box.tabIndex = 0;
      box.dataset.reached = "yes";
    }
  }
}
reach();
addEventListener("resize", reach);
