// A photo from the camera: phones use their camera app, other devices show the camera in the page.

/** Call `take` with a photo when the button asks for one. */
export function listenToCamera({ button, input, dialog, video, shoot, cancel, take, complain }) {
  const isPhone = matchMedia("(pointer: coarse)").matches;
  if (!isPhone && !navigator.mediaDevices?.getUserMedia) {
    button.hidden = true; // no camera, or a page that is not served over https or from this machine
    return;
  }
  let stream = null;
  let count = 0;
  const stop = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    video.srcObject = null;
  };
  button.addEventListener("click", async () => {
    if (isPhone) {
      input.click();
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch {
      complain("There is no camera, or the browser does not allow its use.");
      return;
    }
    video.srcObject = stream;
    dialog.showModal();
  });
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = "";
  });
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", stop);
  shoot.addEventListener("click", async () => {
    if (!video.videoWidth) return; // the first frame has not arrived yet
    const blob = await still(video);
    count += 1;
    dialog.close();
    take([new File([blob], `photo ${count}.jpg`, { type: "image/jpeg" })]);
  });
}

function still(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
}
