internal import CNghttp2

/// What every session of a client shares: callbacks and options of the library.
final class UpstreamLibrary {
  private(set) var callbacks: OpaquePointer?
  private(set) var option: OpaquePointer?
  let memory = SessionMemory()
  /// Room for the header fields of one request.
  let fields = UnsafeMutablePointer<nghttp2_nv>.allocate(capacity: UpstreamLibrary.maximumFields)
  static let maximumFields = 128
  static let failure = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue

  init() {
    nghttp2_session_callbacks_new(&callbacks)
    nghttp2_option_new(&option)
    // Windows grow back when the owner has taken the bytes, not when they arrive.
    nghttp2_option_set_no_auto_window_update(option, 1)
    nghttp2_option_set_no_closed_streams(option, 1)
    nghttp2_option_set_peer_max_concurrent_streams(option, 100)
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
      guard let frame, let session = UpstreamSession.of(user) else { return UpstreamLibrary.failure }
      return session.beginHeaders(frame.pointee)
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) {
      _, frame, name, count, value, size, _, user in
      guard let frame, let name, let value, let session = UpstreamSession.of(user) else {
        return UpstreamLibrary.failure
      }
      return session.field(frame.pointee, name, count, value, size)
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
      guard let frame, let session = UpstreamSession.of(user) else { return UpstreamLibrary.failure }
      return session.received(frame.pointee)
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, id, bytes, count, user in
      guard let bytes, let session = UpstreamSession.of(user) else { return UpstreamLibrary.failure }
      return session.data(id, bytes, count)
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, user in
      guard let session = UpstreamSession.of(user) else { return UpstreamLibrary.failure }
      return session.streamClosed(id, code)
    }
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, code, user in
      guard let frame, let session = UpstreamSession.of(user) else { return UpstreamLibrary.failure }
      return session.notSent(frame.pointee)
    }
    nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, frame, header, count, source, user in
      guard let frame, let header, let source, let session = UpstreamSession.of(user) else {
        return UpstreamLibrary.failure
      }
      return session.sendData(frame.pointee, header, count, source.pointee)
    }
  }

  deinit {
    nghttp2_session_callbacks_del(callbacks)
    nghttp2_option_del(option)
    fields.deallocate()
  }
}
