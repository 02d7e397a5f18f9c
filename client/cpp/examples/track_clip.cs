// The C face from C#: send a moving texture to a model, and print what comes back.
//
//   mcs -unsafe Cineflow.cs track_clip.cs && mono track_clip.exe 127.0.0.1:18003 lucas_kanade
using System;
using System.Runtime.InteropServices;
using System.Threading;

static unsafe class TrackClip
{
    const int Height = 256, Width = 256, Frames = 8;

    static int Failed(Cineflow.Error error)
    {
        Console.Error.WriteLine(error);
        return 1;
    }

    static void Draw(Cineflow.Slot slot, int t)
    {
        for (int y = 0; y < Height; ++y)
        {
            byte* row = (byte*)slot.Data + (ulong)y * (ulong)slot.RowStride;
            for (int x = 0; x < Width; ++x)
            {
                int wave = (x - t + 3 * y) & 31;
                row[x] = (byte)(8 * (wave < 16 ? wave : 32 - wave));
            }
        }
    }

    static void Print(IntPtr result)
    {
        Cineflow.ResultInfo info;
        Cineflow.Tensor flow;
        Cineflow.cfc_result_info_of(result, out info);
        Cineflow.cfc_result_tensor(result, Cineflow.Utf8("flow"), out flow);
        Console.WriteLine("{0} -> {1}, quality {2:f2}, flow {3}x{4}x{5}", info.Previous,
            info.Current, info.Quality, flow.Shape[0], flow.Shape[1], flow.Shape[2]);
    }

    static int Main(string[] arguments)
    {
        if (arguments.Length != 2)
        {
            Console.Error.WriteLine("usage: track_clip.exe HOST:PORT MODEL");
            return 2;
        }
        Cineflow.Check();
        Cineflow.Error error;
        IntPtr client, stream;
        if (Cineflow.cfc_client_open(Cineflow.Utf8(arguments[0]), null, out client, out error) != 0)
            return Failed(error);

        int failures = 0;
        var done = new CountdownEvent(Frames);
        Cineflow.OnOutcome outcome = (user, frame, code, result, why) =>
        {
            if (code == Cineflow.Ok) Print(result);
            else failures += Failed(*why);
            Cineflow.cfc_result_free(result);
            done.Signal();
        };
        Cineflow.StreamOptions options;
        Cineflow.cfc_stream_options_init(out options);
        options.Size[0] = Height;
        options.Size[1] = Width;
        options.OnOutcome = Marshal.GetFunctionPointerForDelegate(outcome);
        int opened = Cineflow.cfc_stream_open(
            client, Cineflow.Utf8(arguments[1]), ref options, out stream, out error);
        if (opened != Cineflow.Ok)
        {
            Cineflow.cfc_client_close(client);
            return Failed(error);
        }
        if (Cineflow.cfc_stream_untrained(stream) != 0)
            Console.Error.WriteLine("Untrained weights: outputs are meaningless. "
                + Cineflow.Text(Cineflow.cfc_stream_served_name(stream))
                + " has random numbers for weights.");
        bool sent = true;
        for (int t = 0; t < Frames && sent; ++t)
        {
            Cineflow.Slot slot;
            ulong frame;
            int code = Cineflow.cfc_acquire(stream, 10, out slot);  // a live source does not wait
            if (code == Cineflow.Ok)
            {
                Draw(slot, t);  // straight into the memory that the server reads
                code = Cineflow.cfc_submit(ref slot, null, out frame);
            }
            sent = code == Cineflow.Ok;
            if (!sent)
                Console.Error.WriteLine("frame {0}: {1}", t, Cineflow.Text(Cineflow.cfc_code_name(code)));
        }
        bool all = sent && done.Wait(TimeSpan.FromSeconds(30));
        Cineflow.cfc_stream_close(stream);
        Cineflow.cfc_client_close(client);
        GC.KeepAlive(outcome);
        return all && failures == 0 ? 0 : 1;
    }
}
