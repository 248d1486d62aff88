// Colors and shapes of the points of the map, each with its name and count for the legend.

// Any two differ by 20 or more (CIE 1976), also for three kinds of color blindness, simulated as
// Machado et al. 2009 do: tests/browser/test_map_colors.py. Shapes tell apart what shares a color.
const LIGHT = ["#0072b2", "#d55e00", "#00bb77", "#ff55ff", "#8800ff", "#333311", "#886677", "#660055", "#221199"];
const DARK = ["#3b9ddd", "#f08030", "#22ffbb", "#ffee00", "#7744ff", "#bb99aa", "#558855", "#ccff88", "#aaffff"];
// Cividis (Nunez et al. 2018); what is uncertain stands out from the paper
const RAMP = ["#e0cf5c", "#bfb06a", "#a19a72", "#838079", "#666a70", "#41507a", "#00224e"];
const RAMP_DARK = ["#34528c", "#566c96", "#7d7c78", "#99926f", "#b8aa6b", "#d9c65c", "#fee838"];
const NONE = { light: "#b4bac4", dark: "#4d5563" };
export const SHAPES = ["circle", "square", "diamond", "cross"];

const MOST = LIGHT.length * SHAPES.length - 1; // groups with a look of their own; others share the last one
const STEPS = RAMP.length;
const STATES = ["no label", "labeled", "not sure", "unreadable", "in conflict"];
const AGREEMENT = ["not known", "model agrees", "model disagrees", "annotators in conflict"];

/** The ways to color, by name: each gives the group of a point (0: none), and the names of the groups. */
export const MODES = {
  label: { name: "Label", of: (points, classes) => ({
    group: (point) => (points.states[point] > 1 ? classes.length + points.states[point] - 1 : points.labels[point]),
    names: ["no label", ...classes, ...STATES.slice(2)],
  }) },
  state: { name: "State", of: (points) => ({ group: (point) => points.states[point], names: STATES }) },
  predicted: { name: "Prediction", of: (points, classes) => ({ group: (point) => points.predicted[point], names: ["no prediction", ...classes] }) },
  uncertainty: { name: "Uncertainty", isRamp: true, of: (points) => ({
    group: (point) => (points.predicted[point] ? 1 + Math.min(STEPS - 1, Math.floor((points.uncertainty[point] * STEPS) / 256)) : 0),
    names: ["no prediction", ...RAMP.map((_, step) => `${percent(step / STEPS)} to ${percent((step + 1) / STEPS)}`)],
  }) },
  disagreement: { name: "Disagreement", of: (points) => ({
    group: (point) => {
      if (points.states[point] === 4) return 3;
      if (!points.labels[point] || !points.predicted[point]) return 0;
      return points.labels[point] === points.predicted[point] ? 1 : 2;
    },
    names: AGREEMENT,
  }) },
  round: { name: "Round", of: (points, _, rounds) => {
    const batches = Object.keys(rounds).map(Number);
    return { group: (point) => 1 + batches.indexOf(points.batches[point]), names: ["", ...batches.map((batch) => rounds[batch])] };
  } },
};

/** Return the group of each point, and the groups: name, count, color and shape, the largest first. */
export function colored(mode, points, classes, rounds, isDark) {
  const { group, names } = MODES[mode].of(points, classes, rounds);
  const counts = new Uint32Array(names.length);
  const of = new Uint16Array(points.length);
  for (let point = 0; point < points.length; point += 1) {
    of[point] = group(point);
    counts[of[point]] += 1;
  }
  const { isRamp } = MODES[mode];
  const order = names.map((_, one) => one).slice(1).filter((one) => counts[one]);
  if (!isRamp) order.sort((one, other) => counts[other] - counts[one] || one - other);
  const palette = isDark ? DARK : LIGHT;
  const ramp = isDark ? RAMP_DARK : RAMP;
  const groups = [{ name: names[0], count: counts[0], color: isDark ? NONE.dark : NONE.light, shape: "circle", isNone: true }];
  const looks = new Uint8Array(names.length);
  order.forEach((one, place) => {
    looks[one] = Math.min(place, MOST) + 1;
    if (place > MOST) {
      const last = groups.at(-1);
      last.count += counts[one];
      last.others = (last.others ?? 0) + 1;
      return;
    }
    const color = isRamp ? ramp[one - 1] : palette[place % palette.length];
    groups.push({ name: names[one], count: counts[one], color, shape: isRamp ? "circle" : SHAPES[Math.floor(place / palette.length)] });
  });
  const last = groups.at(-1);
  if (last.others) last.name = `${last.name} and ${last.others} others`;
  return { of: Uint8Array.from(of, (one) => looks[one]), groups };
}

function percent(share) {
  return `${Math.round(100 * share)}\u00a0%`;
}
