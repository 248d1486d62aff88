"""The labeling server as a web application, for waitress in one process or gunicorn in many."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import flask

from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.agreement import annotator_agreement
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import LabelBatch
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.labels.sessions.reviews import ReviewFilter
from allencv_al.labels.sessions.schema import HANDED_OVER, PAGE
from allencv_al.selection.page_groups import Arrangement, PageGroups
from allencv_al.selection.pool_map import PoolMap
from allencv_al.service.labeling import labeling_answers as answers
from allencv_al.service.labeling import labeling_messages as messages
from allencv_al.service.labeling.group_routes import GroupRoutes
from allencv_al.service.labeling.loop_state import Audience, LoopState
from allencv_al.service.labeling.map_routes import MapRoutes
from allencv_al.service.labeling.presenter import Presenter, number_of, optional_number
from allencv_al.service.labeling.requester import (
    ANNOTATOR_HEADER,
    LABELING_HEADER,
    check_is_meant,
    check_labeling,
    current_annotator,
)
from allencv_al.service.labeling.shown_images import image_response
from allencv_al.service.web.app import WebApp, current_identity
from allencv_al.service.web.web_errors import WebError
from allencv_al.service.web.web_settings import WebSettings

STATIC = Path(__file__).parent / "static"


def create_app(
    folder: str | Path,
    *,
    title: str = "Label images",
    has_loop: bool = False,
    settings: WebSettings | None = None,
    audience: Audience | None = None,
) -> WebApp:
    """Return the application that serves the labeling in a folder.

    `gunicorn 'allencv_al.service.labeling.app:create_app("photos-labels")'` runs one in each of
    its workers; they share the folder's `labeling.sqlite`.

    Args:
        folder: The folder of `labeling.sqlite`: that of a labeling, or a run directory.
        title: The heading of the page.
        has_loop: Whether the loop that waits for the labels runs in this process.
        settings: Address, access and limits; by default, this machine only.
        audience: Is told of each page that polls the session.

    Raises:
        DataError: There is no labeling in the folder, or it cannot be used.
    """
    store = LabelingStore(Path(folder) / LABELING_NAME, create=False)
    app = WebApp("labeling", WebSettings() if settings is None else settings, title)
    LabelingRoutes(app, store, LoopState(Path(folder), has_loop), audience or Audience()).add()
    app.page("/", STATIC / "index.html")
    app.folder("/static/labeling/", STATIC, is_open=True)
    app.on_close(store.close)
    return app


class LabelingRoutes:
    """The routes of the labeling page: one method each, whose annotations are its schema.

    Args:
        app: The application.
        store: The labeling.
        loop: The run that the labeling belongs to, if any.
        audience: Is told of each page that polls the session.
    """

    def __init__(
        self, app: WebApp, store: LabelingStore, loop: LoopState, audience: Audience
    ) -> None:
        self._app = app
        self._store = store
        self._loop = loop
        self._audience = audience
        self._presenter = Presenter(store)
        self._groups = PageGroups(store)

    def add(self) -> None:
        """Add the routes to the application."""
        GroupRoutes(self._store, self._presenter, self._groups).add(self._app)
        pool_map = PoolMap(self._store, self._groups)
        MapRoutes(self._store, self._presenter, pool_map).add(self._app)
        self._app.on_close(self._loop.close)
        self._app.before_request(self._check_labeling)
        add = self._app.operation
        add("GET", "/api/session")(self.session)
        add("GET", "/api/agreement")(self.agreement)
        add("POST", "/api/next")(self.next_images)
        add("POST", "/api/guess", responses=(409,))(self.guess)
        add("POST", "/api/finish", responses=(409,))(self.finish)
        add("POST", "/api/answers", responses=(409, 507))(self.answer)
        add("POST", "/api/undo", responses=(409,))(self.undo)
        add("GET", "/api/history")(self.history)
        add("GET", "/api/review")(self.review)
        add("POST", "/api/review", responses=(409, 507))(self.decide)
        add("POST", "/api/review/undo", responses=(409,))(self.undo_decision)
        add("POST", "/api/classes", responses=(409,))(self.add_class)
        add("PATCH", "/api/classes/<id>", responses=(409,))(self.rename_class)
        add("DELETE", "/api/classes/<id>", responses=(409,))(self.remove_class)
        add("GET", "/api/classes/history")(self.class_history)
        add("GET", "/api/images/<id>", produces="image/jpeg", responses=(404, 409, 503))(self.image)

    # -- The session -----------------------------------------------------------------------------

    def session(self) -> answers.SessionAnswer:
        """Current state of the labeling; also extends the caller's leases."""
        store, presenter = self._store, self._presenter
        annotator = current_annotator()
        is_named = bool(current_identity().name) or ANNOTATOR_HEADER in flask.request.headers
        batch = store.items.batch()
        store.leases.extend(annotator)
        is_loop = batch is not None and batch.round is not None
        loop = self._loop.read(batch is not None and batch.is_open) if is_loop else None
        self._audience.on_session(annotator, loop is not None and loop.state == "finished")
        return answers.SessionAnswer(
            labeling=store.id(),
            annotator=annotator,
            needs_name=not is_named,
            title=self._app.title,
            task=store.values.task_name,
            widget=store.values.widget,
            folder=_shown(store.database.path.parent, self._app.settings),
            batch=presenter.batch(batch),
            classes=presenter.classes(),
            may_edit_classes=not (batch is not None and batch.has_fixed_classes),
            progress=presenter.progress(batch, annotator),
            loop=loop,
            annotators=store.counts.annotators(),
        )

    def agreement(self) -> answers.AgreementAnswer:
        """Agreement of the annotators."""
        found = annotator_agreement(self._store.database)
        return answers.AgreementAnswer(
            pairs=[
                answers.PairAnswer.model_validate(pair, from_attributes=True)
                for pair in found.pairs
            ],
            annotators=[
                answers.CountAnswer(name=name, answers=count)
                for name, count in found.answers.items()
            ],
            conflicts=found.conflicts,
        )

    def next_images(self, body: messages.NextImagesRequest) -> answers.NextImagesAnswer:
        """Images to label, leased to the caller."""
        but = [number_of(item) for item in body.but]
        found = self._store.leases.next_items(current_annotator(), body.count, body.skipped, but)
        return answers.NextImagesAnswer(
            items=[self._presenter.image(item, expires) for item, expires in found]
        )

    def guess(self, body: messages.GuessRequest) -> answers.GuessAnswer:
        """The model's prediction; only on request, because it biases."""
        item = self._store.items.item(number_of(body.item))
        shown = self._presenter.guess(item)
        return answers.GuessAnswer(
            probabilities=[
                answers.GuessedClass(class_name=name, probability=probability)
                for name, probability in shown
            ],
            label=self._presenter.guessed_label(item),
            mask=self._presenter.guessed_mask(item),
        )

    def finish(self, body: messages.FinishRequest) -> answers.FinishedAnswer:
        """End the round of a loop; skipped images stay without a label."""
        batch = self._batch()
        if batch is not None and batch.round is None:
            raise WebError(409, "conflict", "a folder is not finished: its labels may change")
        if batch is not None and batch.is_open:
            self._store.finish(batch.batch)
        return answers.FinishedAnswer(batch=self._presenter.batch(self._batch()))

    # -- Answers ---------------------------------------------------------------------------------

    def answer(self, body: messages.AnswerRequest) -> answers.StoredAnswer:
        """Store an answer; it is on the disk when this responds."""
        annotator = current_annotator()
        check_is_meant(self._store, body, annotator)
        self._check_is_proposed(body)
        is_handed_over = body.kind == "hand_over"
        new = NewAnswer(
            annotator,
            body.client_id,
            number_of(body.item),
            LabelKind.SKIP if is_handed_over else LabelKind(body.kind),
            optional_number(body.class_id),
            body.seconds,
            body.label,
        )
        source = HANDED_OVER if is_handed_over else PAGE
        added = self._store.answers.add(new, body.is_first, source=source)
        [stored] = self._presenter.answers([added])
        return answers.StoredAnswer(answer=stored, progress=self._progress(annotator))

    def undo(self, body: messages.UndoRequest) -> answers.UndoneAnswer:
        """Undo one of the caller's answers, and return its image."""
        annotator = current_annotator()
        undone = self._store.answers.undo(annotator, body.event_id)
        # No other annotator gets the image before the caller has answered it again
        self._store.leases.hold(annotator, [undone.item])
        [answer] = self._presenter.answers([undone])
        return answers.UndoneAnswer(
            answer=answer,
            item=self._presenter.image(self._store.items.item(undone.item)),
            progress=self._progress(annotator),
        )

    def history(self, query: messages.HistoryQuery) -> answers.HistoryAnswer:
        """The caller's answers, newest first."""
        found = self._store.answers.history(current_annotator(), query.before, query.limit)
        return answers.HistoryAnswer(answers=self._presenter.answers(found))

    # -- Reviews ---------------------------------------------------------------------------------

    def review(self, query: messages.ReviewQuery) -> answers.ReviewAnswer:
        """Images with answers, with all of their answers."""
        batch = self._batch()
        wanted = ReviewFilter(
            batch=None if query.batch == "all" or batch is None else batch.batch,
            class_id=optional_number(query.class_id),
            kind=None if query.kind is None else LabelKind(query.kind),
            annotator=query.annotator,
            conflicts=query.conflicts,
            accepted=query.accepted,
        )
        after = optional_number(query.after)
        like = optional_number(query.like)
        wish = Arrangement(query.predicted, query.disagrees, query.sort, like)
        predictions: Mapping[int, tuple[str, float]] = {}
        if wish.is_plain:
            found = self._store.reviews.items(wanted, after, query.limit)
        else:
            numbers = self._store.reviews.numbers(wanted)
            numbers, predictions = self._groups.arranged(numbers, wish)
            first = numbers.index(after) + 1 if after in numbers else 0
            found = self._store.reviews.of_numbers(numbers[first : first + query.limit])
        # A full page: there may be more
        last = f"i{found[-1].item.item}" if len(found) == query.limit else None
        return answers.ReviewAnswer(
            items=self._presenter.reviewed(found, predictions),
            next=last,
            has_likeness=len(self._store.vectors.load()) > 0,
        )

    def decide(self, body: messages.ReviewRequest) -> answers.DecidedAnswer:
        """Decide the labels of images, overriding their answers; all of them, or none."""
        annotator = current_annotator()
        decided = self._store.reviews.decide(
            annotator,
            body.client_id,
            [number_of(item) for item in body.items],
            LabelKind(body.kind),
            optional_number(body.class_id),
        )
        return answers.DecidedAnswer(decided=decided, progress=self._progress(annotator))

    def undo_decision(self, body: messages.ReviewUndoRequest) -> answers.DecidedAnswer:
        """Undo the decisions of one request."""
        annotator = current_annotator()
        undone = self._store.reviews.undo(annotator, body.client_id)
        return answers.DecidedAnswer(decided=undone, progress=self._progress(annotator))

    # -- Classes ---------------------------------------------------------------------------------

    def add_class(self, body: messages.ClassRequest) -> answers.ClassAnswer:
        """Add a class."""
        self._check_may_edit()
        added = self._store.classes.add_one(body.name, current_annotator())
        return self._presenter.class_of(added.class_id)

    def rename_class(self, id: str, body: messages.ClassRequest) -> answers.ClassAnswer:
        """Rename a class; its labels stay with it."""
        self._check_may_edit()
        self._store.classes.rename(number_of(id), body.name, current_annotator())
        return self._presenter.class_of(number_of(id))

    def remove_class(self, id: str) -> answers.ClassesAnswer:
        """Remove a class that has no answers."""
        self._check_may_edit()
        self._store.classes.remove(number_of(id), current_annotator())
        return answers.ClassesAnswer(classes=self._presenter.classes())

    def class_history(self) -> answers.ClassHistoryAnswer:
        """The changes of the classes, oldest first."""
        return answers.ClassHistoryAnswer(
            changes=[
                answers.ClassChangeAnswer(
                    id=f"c{change.class_id}",
                    old=change.old,
                    new=change.new,
                    annotator=change.annotator,
                    time=change.time,
                )
                for change in self._store.classes.history()
            ]
        )

    # -- Images ----------------------------------------------------------------------------------

    def image(self, id: str, query: messages.ImageQuery) -> flask.Response:
        """An image, upright and re-encoded, as JPEG or PNG."""
        if query.v is not None:
            check_labeling(self._store, query.v.partition("-")[0])
        source = self._store.items.image(self._store.items.item(number_of(id)))
        # Without a version, another labeling on the same port has another image at this address
        is_fixed = query.v is not None
        return image_response(source, query.size, self._app.settings.max_pixels, is_fixed)

    def _check_labeling(self) -> None:
        """Refuse requests of pages of another labeling, except the poll by which they notice."""
        if flask.request.endpoint != "GET /api/session":
            check_labeling(self._store, flask.request.headers.get(LABELING_HEADER))

    def _check_is_proposed(self, body: messages.AnswerRequest) -> None:
        """Refuse masks that were not proposed: one may name any file of the server, or any size."""
        if body.label is None or not self._store.values.names_by_place:
            return
        item = self._store.items.item(number_of(body.item))
        if body.label != self._presenter.guessed_label(item):
            raise WebError(409, "conflict", "a mask is accepted as it was proposed for the image")

    def _check_may_edit(self) -> None:
        batch = self._batch()
        if batch is not None and batch.has_fixed_classes:
            raise WebError(409, "conflict", "the config of this loop fixes its classes")

    def _progress(self, annotator: str) -> answers.ProgressAnswer:
        return self._presenter.progress(self._batch(), annotator)

    def _batch(self) -> LabelBatch | None:
        return self._store.items.batch()


def _shown(folder: Path, settings: WebSettings) -> str:
    """Return the name of a folder for a page: a path only for the user of this machine."""
    if settings.access.needs_token:
        return folder.resolve().name
    path = folder.resolve()
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
