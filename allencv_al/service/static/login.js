// Trades a token for a cookie; an address that ends in #TOKEN needs no typing.

const form = document.getElementById("form");
const input = document.getElementById("token");
const problem = document.getElementById("problem");

async function logIn(token) {
  let response;
  try {
    response = await fetch("login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
    });
  } catch {
    problem.textContent = "The server cannot be reached.";
    return;
  }
  if (response.ok) location.replace(".");
  else problem.textContent = "This is not a token of this server.";
}

/** Return the token behind the sign #; what is no right encoding stands for itself. */
function tokenIn(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  problem.textContent = "";
  logIn(input.value.trim());
});

const given = tokenIn(location.hash.slice(1));
if (given) {
  history.replaceState(null, "", location.pathname); // the token stays in no history
  logIn(given);
} else {
  input.focus();
}
