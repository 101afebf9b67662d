// The console's only script. Every page works without it; with it pages live, ages go on, details open in place.

const live = document.getElementById("live");
const pulse = document.getElementById("pulse");
const peek = document.getElementById("peek");

// --- pages that live: the same address as an event stream sends the middle whenever its facts have changed

let stream = null;

function follow() {
  if (stream || document.hidden || !live?.dataset.version) return;
  const address = new URL(location.href);
  address.hash = "";
  address.searchParams.set("version", live.dataset.version); // where we are, if this is a first connection
  stream = new EventSource(address);
  stream.onopen = () => say("live", "Live");
  stream.onerror = () => {
    if (stream?.readyState === EventSource.CLOSED) recover();
    else say("broken", "Reconnecting");
  };
  stream.addEventListener("away", (event) => say("broken", JSON.parse(event.data)));
  stream.addEventListener("page", (event) => {
    const fresh = document.createElement("div");
    fresh.innerHTML = JSON.parse(event.data);
    live.dataset.version = event.lastEventId;
    morph(live, fresh);
    say("live", "Live");
    tick();
  });
}

function leave() {
  stream?.close();
  stream = null;
}

// The stream was refused: the session is over (the page leads to the sign-in), or the gateway is restarting.
async function recover() {
  leave();
  say("broken", "Reconnecting");
  await new Promise((done) => setTimeout(done, 2000));
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) return location.reload();
  } catch {
    // still away
  }
  follow();
}

function say(state, text) {
  pulse.hidden = false;
  if (pulse.dataset.state === state && pulse.textContent === text) return; // or it would be read out each time
  pulse.dataset.state = state;
  pulse.textContent = text;
}

// --- bring what is shown to what it should be, touching only what differs, so that focus, selections,
//     open details and typed text stay

const KEPT = new Set(["open", "data-new"]);

function morph(old, fresh) {
  const known = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
  let place = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    let found = wanted.id ? known.get(wanted.id) : alike(place, wanted) ? place : null;
    if (!found) {
      if (wanted.id && known.size) wanted.setAttribute("data-new", ""); // one more among others: it shows itself
      old.insertBefore(wanted, place);
      continue;
    }
    if (found === place) place = place.nextSibling;
    else old.insertBefore(found, place);
    if (wanted.nodeType !== Node.ELEMENT_NODE) {
      if (found.data !== wanted.data) found.data = wanted.data;
    } else if (!found.isEqualNode(wanted)) {
      attributes(found, wanted);
      morph(found, wanted);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

function alike(one, other) {
  return one && one.nodeType === other.nodeType && one.nodeName === other.nodeName && !one.id;
}

function attributes(old, fresh) {
  for (const { name } of [...old.attributes])
    if (!fresh.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value && !KEPT.has(name)) old.setAttribute(name, value);
}

// --- ages go on between two news

function lasting(seconds) {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

function tick() {
  for (const one of document.querySelectorAll("time[data-since]")) {
    const text = lasting(Math.max(0, Math.floor((Date.now() - Date.parse(one.dataset.since)) / 1000)));
    if (one.textContent !== text) one.textContent = text;
  }
}

// --- details in place: a link marked data-peek shows the middle of its page in a dialog

async function open(link) {
  const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
  if (answer.redirected || !answer.ok) return location.assign(link.href);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const close = Object.assign(document.createElement("button"), { textContent: "Close", className: "quiet close" });
  close.onclick = () => peek.close();
  peek.replaceChildren(close, page.querySelector("h1"), page.getElementById("live"));
  peek.querySelector("#live").removeAttribute("id");
  peek.showModal();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-peek]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    open(link);
  } else if (event.target === peek) peek.close();
});

// --- small helps: all boxes at once, filters that apply when chosen, "/" to search

document.addEventListener("change", (event) => {
  const target = event.target;
  if (target.matches("input[data-all]"))
    for (const box of target.form.querySelectorAll(`input[name="${target.dataset.all}"]`)) box.checked = target.checked;
  if (target.matches("form[method=get] select")) target.form.requestSubmit();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, dialog")) return;
  const search = document.querySelector("input[type=search]");
  if (search) {
    event.preventDefault();
    search.focus();
  }
});

document.addEventListener("visibilitychange", () => (document.hidden ? leave() : follow())); // few connections are to be had
addEventListener("pagehide", leave);
addEventListener("pageshow", follow);
setInterval(tick, 1000);
