"""The labeling server as a web application, for waitress in one process or gunicorn in many."""

from __future__ import annotations

from pathlib import Path

import flask

from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.sessions.agreement import annotator_agreement
from allencv_al.labels.sessions.answers import NewAnswer
from allencv_al.labels.sessions.items import LabelBatch
from allencv_al.labels.sessions.labeling_store import (
    LABELING_NAME,
    LabelingStore,
)
from allencv_al.labels.sessions.reviews import ReviewFilter
from allencv_al.service.labeling import labeling_answers as answers
from allencv_al.service.labeling import labeling_messages as messages
from allencv_al.service.labeling.audience import Audience
from allencv_al.service.labeling.image_route import add_image_route
from allencv_al.service.labeling.loop_state import LoopState
from allencv_al.service.labeling.presenter import Presenter, number_of
from allencv_al.service.labeling.requester import (
    ANNOTATOR_HEADER,
    LABELING_HEADER,
    check_is_meant,
    check_labeling,
    current_annotator,
)
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
        folder: Where `labeling.sqlite` is: the folder of a labeling, or of a run.
        title: The heading of the page.
        has_loop: Whether the loop that asks runs in this process.
        settings: Address, access and limits; by default, this machine only.
        audience: Is told of each page that asks how the labeling is.

    Raises:
        DataError: There is no labeling in the folder, or it cannot be used.
    """
    store = LabelingStore(Path(folder) / LABELING_NAME, create=False)
    app = WebApp("labeling", WebSettings() if settings is None else settings, title)
    loop = LoopState(Path(folder), has_loop)
    LabelingRoutes(app, store, loop, audience or Audience()).add()
    app.page("/", STATIC / "index.html")
    app.folder("/static/labeling/", STATIC, is_open=True)
    app.on_close(store.close)
    return app


class LabelingRoutes:
    """The routes of the labeling page.

    Args:
        app: Where they are added.
        store: The labeling.
        loop: The run that it belongs to, if it does.
        audience: Is told of each page that asks how the labeling is.
    """

    def __init__(
        self, app: WebApp, store: LabelingStore, loop: LoopState, audience: Audience
    ) -> None:
        self._app = app
        self._store = store
        self._loop = loop
        self._audience = audience
        self._presenter = Presenter(store)
        app.on_close(loop.close)

    def add(self) -> None:
        """Add them."""
        self._add_session()
        self._add_batch()
        self._add_answers()
        self._add_review()
        self._add_classes()
        add_image_route(self._app, self._store)
        self._app.before_request(self._check_labeling)

    def _add_session(self) -> None:
        store, presenter = self._store, self._presenter

        @self._app.operation("GET", "/api/session")
        def session() -> answers.SessionAnswer:
            """Current state of the labeling; also extends the caller's leases."""
            annotator = current_annotator()
            batch = store.items.batch()
            store.leases.extend(annotator)
            is_loop = batch is not None and batch.round is not None
            loop = self._loop.read(batch is not None and batch.is_open) if is_loop else None
            self._audience.on_session(annotator, loop is not None and loop.state == "finished")
            return answers.SessionAnswer(
                labeling=store.id(),
                annotator=annotator,
                needs_name=not current_identity().name
                and ANNOTATOR_HEADER not in flask.request.headers,
                title=self._app.title,
                folder=_shown(store.database.path.parent, self._app.settings),
                batch=presenter.batch(batch),
                classes=presenter.classes(),
                may_edit_classes=not (batch is not None and batch.has_fixed_classes),
                progress=presenter.progress(batch, annotator),
                loop=loop,
                annotators=store.counts.annotators(),
            )

        @self._app.operation("GET", "/api/agreement")
        def agreement() -> answers.AgreementAnswer:
            """Agreement of the annotators."""
            found = annotator_agreement(store.database)
            return answers.AgreementAnswer(
                pairs=[
                    answers.PairAnswer(
                        first=pair.first,
                        second=pair.second,
                        both=pair.both,
                        agreed=pair.agreed,
                        kappa=pair.kappa,
                    )
                    for pair in found.pairs
                ],
                annotators=[
                    answers.CountAnswer(name=name, answers=count)
                    for name, count in found.answers.items()
                ],
                conflicts=found.conflicts,
            )

    def _add_batch(self) -> None:
        store, presenter, app = self._store, self._presenter, self._app

        @app.operation("POST", "/api/next")
        def next_items(body: messages.NextRequest) -> answers.NextAnswer:
            """Images to label, promised to who asks."""
            but = [number_of(item) for item in body.but]
            found = store.leases.next_items(current_annotator(), body.count, body.skipped, but)
            return answers.NextAnswer(
                items=[presenter.item(item, expires) for item, expires in found]
            )

        @app.operation("POST", "/api/guess", responses=(409,))
        def guess(body: messages.GuessRequest) -> answers.GuessAnswer:
            """The model's prediction; only on request, because it biases."""
            item = store.items.item(number_of(body.item))
            return answers.GuessAnswer(
                probabilities=[
                    answers.GuessedClass(class_name=name, probability=probability)
                    for name, probability in item.guess
                ]
            )

        @app.operation("POST", "/api/finish", responses=(409,))
        def finish(body: messages.FinishRequest) -> answers.FinishedAnswer:
            """End the round of a loop; skipped images stay without a label."""
            batch = store.items.batch()
            if batch is not None and batch.round is None:
                raise WebError(409, "conflict", "a folder is not finished: its labels may change")
            if batch is not None and batch.is_open:
                store.finish(batch.batch)
            return answers.FinishedAnswer(batch=presenter.batch(store.items.batch()))

    def _add_answers(self) -> None:
        store, presenter, app = self._store, self._presenter, self._app

        @app.operation("POST", "/api/answers", responses=(409, 507))
        def answer(body: messages.AnswerRequest) -> answers.StoredAnswer:
            """Store an answer; it is on the disk when this responds."""
            annotator = current_annotator()
            check_is_meant(store, body, annotator)
            new = NewAnswer(
                annotator,
                body.client_id,
                number_of(body.item),
                LabelKind(body.kind),
                None if body.class_id is None else number_of(body.class_id),
                body.seconds,
            )
            stored = store.answers.add(new, body.is_first)
            [said] = presenter.said([stored])
            return answers.StoredAnswer(answer=said, progress=self._progress(annotator))

        @app.operation("POST", "/api/undo", responses=(409,))
        def undo(body: messages.UndoRequest) -> answers.UndoneAnswer:
            """Undo one of the caller's answers, and return its image."""
            annotator = current_annotator()
            undone = store.answers.undo(annotator, body.event_id)
            store.leases.hold(annotator, undone.item)
            [said] = presenter.said([undone])
            return answers.UndoneAnswer(
                answer=said,
                item=presenter.item(store.items.item(undone.item)),
                progress=self._progress(annotator),
            )

        @app.operation("GET", "/api/history")
        def history(query: messages.HistoryQuery) -> answers.HistoryAnswer:
            """The caller's answers, newest first."""
            found = store.answers.history(current_annotator(), query.before, query.limit)
            return answers.HistoryAnswer(answers=presenter.said(found))

    def _add_review(self) -> None:
        store, presenter, app = self._store, self._presenter, self._app

        @app.operation("GET", "/api/review")
        def review(query: messages.ReviewQuery) -> answers.ReviewAnswer:
            """Images that something was said of, with all that was said."""
            batch = store.items.batch()
            number = None if query.batch == "all" or batch is None else batch.batch
            wanted = ReviewFilter(
                batch=number,
                class_id=None if query.class_id is None else number_of(query.class_id),
                kind=None if query.kind is None else LabelKind(query.kind),
                annotator=query.annotator,
                conflicts=query.conflicts,
            )
            after = None if query.after is None else number_of(query.after)
            found = store.reviews.items(wanted, after, query.limit)
            last = f"i{found[-1].item.item}" if len(found) == query.limit else None
            return answers.ReviewAnswer(items=presenter.reviewed(found), next=last)

        @app.operation("POST", "/api/review", responses=(409, 507))
        def decide(body: messages.ReviewRequest) -> answers.DecidedAnswer:
            """Decide what images show, whatever the answers say; all of them, or none."""
            annotator = current_annotator()
            decided = store.reviews.decide(
                annotator,
                body.client_id,
                [number_of(item) for item in body.items],
                LabelKind(body.kind),
                None if body.class_id is None else number_of(body.class_id),
            )
            return answers.DecidedAnswer(decided=decided, progress=self._progress(annotator))

        @app.operation("POST", "/api/review/undo", responses=(409,))
        def undo_decision(
            body: messages.ReviewUndoRequest,
        ) -> answers.DecidedAnswer:
            """Undo the decisions of one request."""
            annotator = current_annotator()
            undone = store.reviews.undo(annotator, body.client_id)
            return answers.DecidedAnswer(decided=undone, progress=self._progress(annotator))

    def _add_classes(self) -> None:
        store, presenter, app = self._store, self._presenter, self._app

        @app.operation("POST", "/api/classes", responses=(409,))
        def add_class(body: messages.ClassRequest) -> answers.ClassAnswer:
            """Add a class."""
            self._check_may_edit()
            added = store.classes.add_one(body.name, current_annotator())
            return presenter.class_of(added.class_id)

        @app.operation("PATCH", "/api/classes/<id>", responses=(409,))
        def rename_class(id: str, body: messages.ClassRequest) -> answers.ClassAnswer:
            """Give a class another name; its labels stay with it."""
            self._check_may_edit()
            store.classes.rename(number_of(id), body.name, current_annotator())
            return presenter.class_of(number_of(id))

        @app.operation("DELETE", "/api/classes/<id>", responses=(409,))
        def remove_class(id: str) -> answers.ClassesAnswer:
            """Remove a class that has no answers."""
            self._check_may_edit()
            store.classes.remove(number_of(id), current_annotator())
            return answers.ClassesAnswer(classes=presenter.classes())

        @app.operation("GET", "/api/classes/history")
        def class_history() -> answers.ClassHistoryAnswer:
            """Changes of the classes."""
            return answers.ClassHistoryAnswer(
                changes=[
                    answers.ClassChangeAnswer(
                        id=f"c{change.class_id}",
                        old=change.old,
                        new=change.new,
                        annotator=change.annotator,
                        time=change.time,
                    )
                    for change in store.classes.history()
                ]
            )

    def _check_labeling(self) -> None:
        """Refuse what a page of another labeling sends; but let it find out where it is."""
        if flask.request.endpoint != "GET /api/session":
            check_labeling(self._store, flask.request.headers.get(LABELING_HEADER))

    def _check_may_edit(self) -> None:
        batch = self._batch()
        if batch is not None and batch.has_fixed_classes:
            raise WebError(409, "conflict", "the config of this loop fixes its classes")

    def _progress(self, annotator: str) -> answers.ProgressAnswer:
        return self._presenter.progress(self._batch(), annotator)

    def _batch(self) -> LabelBatch | None:
        return self._store.items.batch()


def _shown(folder: Path, settings: WebSettings) -> str:
    """Return how a page names a folder: to others than this machine's user by its name only."""
    if settings.access.needs_token:
        return folder.resolve().name
    path = folder.resolve()
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
