// The step axis that charts share: on wide screens one step is at one place in all of them.

const WIDE = 700;

/** Room around a drawing. */
export function margins(panel) {
  return panel.root.clientWidth > WIDE ? { l: 116, r: 60, t: 8, b: 36 } : { l: 56, r: 40, t: 8, b: 36 };
}

/** How many pixels the drawing is wide: so many points can be told apart. */
export function pixels(panel) {
  const { l, r } = margins(panel);
  return Math.max(panel.plot.clientWidth || panel.root.clientWidth - 34, 260) - l - r;
}

/** What to ask the API for: the steps shown, or all of them, those to come included. */
export function windowOf({ isWhole, window: [from, to] }) {
  return { from, to: isWhole ? undefined : to };
}

/** The axis itself. */
export function stepAxis(panel, range = panel.context.view.window) {
  return {
    range, tickformat: ",d", hoverformat: ",d", nticks: pixels(panel) > 500 ? 10 : 4,
    title: { text: "step", standoff: 2, font: { size: 11 } },
  };
}
