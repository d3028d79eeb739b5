"""The queue between callers and judges: the order in which requests are taken."""

from made_up_tasks import MATMUL, RELU

from pytest_kernelbench.evaluation.judges.requests import AT_ONCE, Request, Requests


def asked(requests, task, *sources):
    for source in sources:
        requests.put(Request(task=task, source=source))


def taken(requests, last_task):
    return [request.source for request in requests.take(last_task.sha256 if last_task else None)]


def test_a_judge_takes_several_requests_of_its_task():
    requests = Requests(100)
    asked(requests, MATMUL, "a")
    asked(requests, RELU, *map(str, range(AT_ONCE + 1)))
    assert taken(requests, RELU) == list(map(str, range(AT_ONCE)))
    assert taken(requests, RELU) == [str(AT_ONCE)]
    assert taken(requests, RELU) == ["a"]


def test_few_requests_are_shared_among_all_judges():
    requests = Requests(100, judges=4)
    asked(requests, RELU, *"abcdef")
    assert [taken(requests, RELU) for _ in range(5)] == [["a", "b"], ["c"], ["d"], ["e"], ["f"]]


def test_a_task_that_is_asked_about_all_the_time_does_not_keep_others_waiting_for_ever():
    requests = Requests(100)
    asked(requests, MATMUL, "a")
    for number in range(4):
        asked(requests, RELU, str(number))
        assert taken(requests, RELU) == [str(number)]
    asked(requests, RELU, "4")
    assert taken(requests, RELU) == ["a"]
    assert taken(requests, RELU) == ["4"]


def test_a_request_whose_judge_died_comes_first_and_alone():
    requests = Requests(100)
    asked(requests, RELU, "a", "b")
    asked(requests, MATMUL, "c")
    again = Request(task=MATMUL, source="again", alone=True)
    assert requests.put_back(again)
    assert [taken(requests, None) for _ in range(3)] == [["again"], ["a", "b"], ["c"]]


def test_nothing_is_put_back_once_closed():
    requests = Requests(100)
    requests.close()
    assert not requests.put_back(Request(task=RELU, source="a", alone=True))
    assert requests.take(None) == []
