public import HTTPModel
internal import Reactor

extension HTTPClient {
  /// Sends a request on a thread of its own and collects the answer: at most `limit` bytes of body, and everything within
  /// `deadline`. When the task is cancelled it ends at once.
  public func fetch(
    _ request: HTTPRequest, limit: Int, deadline: Duration
  ) async -> Result<HTTPResponse, HTTPClientError> {
    let cancellation = HTTPCancellation()
    return await withTaskCancellationHandler {
      await withTaskGroup(of: FetchEvent.self) { group in
        group.addTask { .ended(await Self.onThread { Self.collect(self, request, limit, cancellation) }) }
        group.addTask {
          try? await Task.sleep(for: deadline)
          return .late
        }
        var isLate = false
        while let event = await group.next() {
          switch event {
          case .late:
            isLate = true
            cancellation.cancel()
          case .ended(let answer):
            group.cancelAll()
            guard case .failure = answer, isLate else { return answer }
            return .failure(HTTPClientError(.timeout, "no whole answer in \(Self.text(deadline))"))
          }
        }
        return .failure(HTTPClientError(.stopped, "stopped"))
      }
    } onCancel: {
      cancellation.cancel()
    }
  }

  private enum FetchEvent: Sendable {
    case ended(Result<HTTPResponse, HTTPClientError>)
    case late
  }

  /// Blocks.
  private static func collect(
    _ client: HTTPClient, _ request: HTTPRequest, _ limit: Int, _ cancellation: HTTPCancellation
  ) -> Result<HTTPResponse, HTTPClientError> {
    var body: [UInt8] = []
    do throws(HTTPClientError) {
      var response = try client.stream(request, cancellation: cancellation) { part in
        body.append(contentsOf: part)
        return body.count <= limit
      }
      response.body = body
      return .success(response)
    } catch {
      return .failure(
        body.count > limit ? HTTPClientError(.malformed, "the answer has more than \(limit) bytes") : error)
    }
  }

  private static func onThread(
    _ body: @escaping @Sendable () -> Result<HTTPResponse, HTTPClientError>
  ) async -> Result<HTTPResponse, HTTPClientError> {
    await withCheckedContinuation { continuation in
      let thread = LoopThread(name: "roost-fetch") { continuation.resume(returning: body()) }
      guard let thread else {
        return continuation.resume(
          returning: .failure(HTTPClientError(.unreachable, "the system has no more threads")))
      }
      thread.detach()
    }
  }

  private static func text(_ duration: Duration) -> String {
    let milliseconds = duration.wholeMilliseconds
    return milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : "\(milliseconds) ms"
  }
}
