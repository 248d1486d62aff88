// The uncertainty of a classifier, as in the query strategies of the package.

/** Return the index of the largest number. */
export function top(probabilities) {
  let best = 0;
  probabilities.forEach((value, place) => {
    if (value > probabilities[best]) best = place;
  });
  return best;
}

/** Return the largest probability minus the second largest: near 0 is uncertain. */
export function margin(probabilities) {
  if (probabilities.length < 2) return 1;
  let first = -Infinity;
  let second = -Infinity;
  for (const value of probabilities) {
    if (value > first) [first, second] = [value, first];
    else if (value > second) second = value;
  }
  return first - second;
}

/** Return the Shannon entropy in nats: 0 is certain, log(number of classes) is uniform. */
export function entropy(probabilities) {
  let sum = 0;
  for (const value of probabilities) if (value > 0) sum -= value * Math.log(value);
  return sum;
}
