// Exchanges a token for a cookie; an address that ends in #TOKEN needs no typing.

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
  else problem.textContent = "This token is not valid on this server.";
}

/** Return the token after the #; text that is not percent-encoded is used unchanged. */
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
  history.replaceState(null, "", location.pathname); // keep the token out of the history
  logIn(given);
} else {
  input.focus();
}
